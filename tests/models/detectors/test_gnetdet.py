"""GNetDet: its parts know of one another, it learns, and its integers are equal on a march."""

import numpy as np
import pytest
import torch

from hatlite.errors import BuildError, CheckpointError, DataError
from hatlite.executor import Executor
from hatlite.lowering import lower
from hatlite.march import get_march
from hatlite.quantization import QConfig, prepare
from hatlite.registry import OBJECT_REGISTRY

SIZE = 56


def build(cfg):
    torch.manual_seed(0)
    return OBJECT_REGISTRY.build(cfg, path="['model']")


def levels(count, seed=0):
    return torch.randint(0, 32, (count, 3, SIZE, SIZE), generator=torch.Generator().manual_seed(seed)).float()


def test_losses_by_name_and_objects(small_gnetdet, batch_of):
    detector = build(small_gnetdet())
    batch = {**batch_of([[[4.0, 4, 20, 24]], []], [[1], []], size=SIZE), "img": levels(2)}
    losses = detector(batch)
    assert list(losses) == ["loc", "cls", "contain", "not_contain", "noobj"]
    sum(losses.values()).backward()
    assert all(parameter.grad is not None for parameter in detector.parameters())
    assert len(detector.eval()(batch)) == 2
    assert (detector.num_classes, detector.strides, detector.input_size) == (3, (4,), (SIZE, SIZE))


def test_steps_down_the_gradient_lower_the_losses(small_gnetdet, batch_of):
    cfg = small_gnetdet(backbone={"type": "GNet", "input_size": 14, "widths": [[8]], "batch_norm": True})
    cfg["loss"] = {"type": "GNetDetLoss", "normaliser": 1.0}
    detector = build(cfg)
    img = torch.zeros(1, 3, 14, 14)
    img[:, 1, 3:8, 4:10] = 31
    batch = {**batch_of([[[4.0, 3, 10, 8]]], [[2]], size=14), "img": img}
    totals = []
    for _ in range(20):
        total = sum(detector(batch).values())
        parameters = list(detector.parameters())
        for parameter, slope in zip(parameters, torch.autograd.grad(total, parameters), strict=True):
            parameter.data -= 0.05 * slope
        totals.append(total.item())
    assert totals[-1] < totals[0] / 4


@pytest.mark.parametrize("batch_norm", [False, True])
def test_integers_are_equal_on_a_march(small_gnetdet, batch_norm):
    cfg = small_gnetdet()
    cfg["backbone"]["batch_norm"] = batch_norm
    graph = prepare(build(cfg).network, QConfig(), levels(1))
    with torch.no_grad():
        graph(levels(2, seed=1))
        graph.finish_calibration()
        img = levels(2, seed=2)
        expected = graph.integers(img)
    program = lower(graph, get_march("bayes-sim"))
    got = Executor(program, "reference").run(
        {"img": img.permute(0, 2, 3, 1).contiguous().numpy().astype(np.int8)}, keep="all"
    )
    assert set(got) == set(expected)
    assert sum(int((got[name] != q.permute(0, 2, 3, 1).numpy()).sum()) for name, q in expected.items()) == 0


def toolkit_state(detector, prefix="features."):
    """Return what the toolkit would have written of the network."""
    named = {**dict(detector.network.backbone.named_parameters()), "conv15.weight": detector.network.head.conv15.weight}
    named["conv15.bias"] = detector.network.head.conv15.bias
    return {f"{prefix}{name}": value.detach() + 1.0 for name, value in named.items()}


@pytest.mark.parametrize("prefix", ["features.", "module.features."])
def test_weights_of_the_toolkit(small_gnetdet, prefix):
    detector = build(small_gnetdet())
    state = toolkit_state(detector, prefix)
    assert detector.load_toolkit(state) == []
    assert torch.equal(detector.network.backbone.conv2.weight, state[f"{prefix}conv2.weight"])
    assert torch.equal(detector.network.head.conv15.bias, state[f"{prefix}conv15.bias"])


def test_a_last_convolution_of_other_classes_stays_as_it_is(small_gnetdet):
    state = toolkit_state(build(small_gnetdet(num_classes=5)))
    detector = build(small_gnetdet())
    before = detector.network.head.conv15.weight.clone()
    assert detector.load_toolkit(state) == ["features.conv15.weight", "features.conv15.bias"]
    assert torch.equal(detector.network.head.conv15.weight, before)
    assert torch.equal(detector.network.backbone.conv0.bias, state["features.conv0.bias"])


def test_weights_of_another_network_are_refused(small_gnetdet):
    detector = build(small_gnetdet())
    state = toolkit_state(detector)
    del state["features.conv1.bias"]
    expected = "^x.pth does not fit the network of the GNetDet toolkit without batch norm: it lacks conv1.bias"
    with pytest.raises(CheckpointError, match=expected):
        detector.load_toolkit(state, "x.pth")
    with pytest.raises(CheckpointError, match="has unknown features.bn0.weight"):
        detector.load_toolkit({**toolkit_state(detector), "features.bn0.weight": torch.ones(8)}, "x.pth")


def test_images_have_one_size(small_gnetdet, batch_of):
    detector = build(small_gnetdet())
    with pytest.raises(DataError, match="GNetDet: img is 64×64 .*, but the backbone is made for 56×56; resize images"):
        detector(batch_of([[]], [[]], size=64))


def test_parts_that_contradict_one_another(small_gnetdet):
    with pytest.raises(BuildError, match="targets.grid_size is 7, but the backbone returns 14×14 cells; set it to 14"):
        build(small_gnetdet(targets={"type": "GridTarget", "grid_size": 7}))
    with pytest.raises(BuildError, match="targets.num_classes is 4, but head.num_classes is 3"):
        build(small_gnetdet(targets={"type": "GridTarget", "num_classes": 4}))
    with pytest.raises(BuildError, match="GNetDet: targets is given but loss is not; training needs all of loss"):
        build(small_gnetdet(loss=None))
