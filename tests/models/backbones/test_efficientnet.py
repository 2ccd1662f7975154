"""EfficientNet: published channels, sizes, and what it refuses."""

import pytest
import torch

from hatlite.errors import BuildError
from hatlite.models.backbones.efficientnet import EfficientNet, round_channels, round_repeats


def test_rounding_by_hand():
    # 40 · 1.1 = 44 → 48; 16 · 1.1 = 17.6 → 16, which is 91 %; 320 · 1.1 = 352; 12 · 0.5 = 6 → 8.
    assert [round_channels(*x) for x in ((40, 1.1), (16, 1.1), (320, 1.1), (12, 0.5))] == [48, 16, 352, 8]
    assert [round_repeats(*x) for x in ((3, 1.1), (2, 1.0), (3, 0.3))] == [4, 2, 1]


@pytest.mark.parametrize(
    ("model_type", "channels", "millions"),
    [("b0", [16, 24, 40, 112, 320], 2.96), ("b2", [16, 24, 48, 120, 352], 5.87), ("b4", [24, 32, 56, 160, 448], 13.60)],
)
def test_published_channels(model_type, channels, millions):
    with torch.device("meta"):
        net = EfficientNet(model_type)
    assert net.stride2channels == dict(zip((2, 4, 8, 16, 32), channels, strict=True))
    assert sum(p.numel() for p in net.parameters()) / 1e6 == pytest.approx(millions, abs=0.005)


def test_features_have_the_promised_shapes():
    net = EfficientNet(width_coefficient=0.25, depth_coefficient=0.5).eval()
    with torch.no_grad():
        features = net(torch.randn(2, 3, 64, 96))
    shapes = [(2, c, 64 // s, 96 // s) for s, c in net.stride2channels.items()]
    assert [tuple(x.shape) for x in features] == shapes


def test_channels_last_gives_the_same():
    net = EfficientNet(width_coefficient=0.25, depth_coefficient=0.3).eval()
    img = torch.randn(1, 3, 32, 32)
    with torch.no_grad():
        plain = net(img)
        last = net.to(memory_format=torch.channels_last)(img.to(memory_format=torch.channels_last))
    for a, b in zip(plain, last, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)


def test_top_gives_logits():
    net = EfficientNet(num_classes=7, include_top=True, width_coefficient=0.25, depth_coefficient=0.3)
    assert net(torch.randn(2, 3, 32, 32)).shape == (2, 7)


def test_options_reach_the_blocks():
    options = {"activation": "swish", "use_se_block": True, "drop_path_rate": 0.2, "bn_kwargs": {"momentum": 0.5}}
    net = EfficientNet(width_coefficient=0.25, depth_coefficient=0.3, **options)
    kinds = {type(module).__name__ for module in net.modules()}
    assert {"SiLU", "SqueezeExcite", "DropPath"} <= kinds
    assert "ReLU" not in kinds
    assert {m.momentum for m in net.modules() if isinstance(m, torch.nn.BatchNorm2d)} == {0.5}
    assert all(x.isfinite().all() for x in net(torch.randn(2, 3, 32, 32)))


def test_refuses_what_it_does_not_know():
    with pytest.raises(BuildError, match="model_type is 'b9'; expected one of b0, b1, b2, b3, b4"):
        EfficientNet("b9")
    with pytest.raises(BuildError, match="widths has 3 numbers; expected 8"):
        EfficientNet(widths=[8, 8, 8])
