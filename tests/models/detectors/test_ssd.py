"""SSD: losses with mined negatives by hand, and equal integers on the march."""

import math

import numpy as np
import pytest
import torch

from hatlite.errors import BuildError, CaptureError
from hatlite.executor import Executor
from hatlite.lowering import lower
from hatlite.march import get_march
from hatlite.quantization import QConfig, prepare
from hatlite.registry import OBJECT_REGISTRY

# The second level's sizes are 6 and 57 pixels: the second anchor of its row 1, column 1 has the side sqrt(6 · 57).
OBJECT = [14.75, 14.75, 33.25, 33.25]


def build(cfg):
    torch.manual_seed(0)
    return OBJECT_REGISTRY.build(cfg, path="['model']")


def outputs_of(detector, count=1):
    """Return outputs of `count` images of 64×64 in which all classes are equally likely and boxes are the anchors."""
    sizes = {8: (8, 4), 16: (4, 6), 32: (2, 4)}
    outputs = {}
    for stride, (side, anchors) in sizes.items():
        outputs[f"cls_logits_s{stride}"] = torch.zeros(count, anchors * 4, side, side)
        outputs[f"bbox_regression_s{stride}"] = torch.zeros(count, anchors * 4, side, side)
    return outputs


def test_losses_by_hand(small_ssd, batch_of):
    detector = build(small_ssd())
    outputs = outputs_of(detector, 2)
    batch = batch_of([[OBJECT], []], [[1], []])
    outputs["bbox_regression_s16"][0, 4, 1, 1] = 3.0
    losses = detector.compute_losses(outputs, batch)
    # One object and three negatives of the first image, each log 4; the second image has no object and does not count.
    assert losses["cls"].item() == pytest.approx(4 * math.log(4))
    assert losses["reg"].item() == pytest.approx(3 - 0.5, abs=1e-4)


@pytest.mark.parametrize(("ratio", "counted"), [(0.0, 0), (2.0, 2), (3.0, 3), (1000.0, 8 * 8 * 4 + 4 * 4 * 6 + 16 - 1)])
def test_the_hardest_negatives_count(small_ssd, batch_of, ratio, counted):
    detector = build(small_ssd(neg_pos_ratio=ratio))
    outputs = outputs_of(detector)
    outputs["cls_logits_s8"][0, 0, 5, :2] = 30.0  # two anchors that are wrong about background
    hard = min(counted, 2)
    losses = detector.compute_losses(outputs, batch_of([[OBJECT]], [[1]]))
    assert losses["cls"].item() == pytest.approx(30 * hard + (1 + counted - hard) * math.log(4), rel=1e-5)


def test_refuses_a_negative_ratio(small_ssd):
    with pytest.raises(BuildError, match="SSD: neg_pos_ratio is -1; expected 0 or more, 3 as published"):
        build(small_ssd(neg_pos_ratio=-1))


def pixels(count, seed, size):
    drawn = torch.randint(-128, 128, (count, 3, *size), generator=torch.Generator().manual_seed(seed))
    return drawn.float() / 128


@pytest.mark.parametrize(
    ("conv_type", "neck", "size"),
    [
        ("plain", {}, (64, 64)),
        ("depthwise", {"out_strides": [8, 16, 32, 64, 128]}, (64, 96)),
        ("grouped", {"out_strides": [8, 16, 32, 64], "add_extra_convs": "on_input"}, (96, 64)),
    ],
)
def test_integers_are_equal_on_the_march(small_ssd, conv_type, neck, size):
    cfg = small_ssd(conv_type=conv_type)
    cfg["neck"] |= neck
    strides = neck.get("out_strides", [8, 16, 32])
    cfg["head"]["anchor_generator"] |= {"strides": strides, "ratios": [[2]] * len(strides)}
    graph = prepare(build(cfg).network, QConfig(), pixels(1, 0, size))
    with torch.no_grad():
        graph(pixels(2, 1, size))
        graph.finish_calibration()
        img = pixels(2, 2, size)
        expected = graph.integers(img)
    program = lower(graph, get_march("bayes-sim"))
    assert {port.name: port.stride for port in program.outputs} == {
        f"{kind}_s{stride}": stride for stride in strides for kind in ("cls_logits", "bbox_regression")
    }
    integers = (img * 128).permute(0, 2, 3, 1).contiguous().numpy().astype(np.int8)
    got = Executor(program, "reference").run({"img": integers}, keep="all")
    assert set(got) == set(expected)
    assert sum(int((got[name] != q.permute(0, 2, 3, 1).numpy()).sum()) for name, q in expected.items()) == 0


def test_l2_norm_is_refused_before_anything_is_quantised(small_ssd):
    cfg = small_ssd(neck={"type": "SSDNeck", "in_strides": [8, 16], "out_strides": [8, 16, 32],
                          "out_channels": [16, 16, 8]})  # fmt: skip
    cfg["backbone"] = {"type": "TwoFeatures"}
    detector = build(cfg)
    with pytest.raises(
        CaptureError, match=r"neck.l2_norm .*L2Norm has no integer form; leave it out \(SSDNeck: l2_nor"
    ):
        prepare(detector.network, QConfig(), pixels(1, 0, (64, 64)))
    cfg["neck"]["l2_norm_scale"] = None
    prepare(build(cfg).network, QConfig(), pixels(1, 0, (64, 64)))


@pytest.fixture(autouse=True)
def two_features(monkeypatch):
    """A backbone with features of strides 8 and 16 alone."""

    class TwoFeatures(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.stride2channels = {8: 16, 16: 16}
            self.first = torch.nn.Conv2d(3, 16, 8, 8)
            self.second = torch.nn.Conv2d(16, 16, 2, 2)

        def forward(self, img):
            x = self.first(img)
            return [x, self.second(x)]

    monkeypatch.setitem(OBJECT_REGISTRY._entries, "TwoFeatures", TwoFeatures)
