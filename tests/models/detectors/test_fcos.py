"""FCOS: losses by hand, both modes, learning, and every contradiction it refuses."""

import copy
import math

import pytest
import torch

from hatlite.errors import BuildError, DataError
from hatlite.registry import OBJECT_REGISTRY
from hatlite.structures import Detections

IDENTITY = torch.eye(3, dtype=torch.float64)


def build(cfg):
    torch.manual_seed(0)
    return OBJECT_REGISTRY.build(cfg, path="['model']")


def batch_of(boxes, classes, size=64):
    count = len(boxes)
    return {
        "img": torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(0)),
        "gt_bboxes": [torch.tensor(b, dtype=torch.float32).reshape(-1, 4) for b in boxes],
        "gt_classes": [torch.tensor(c, dtype=torch.int64) for c in classes],
        "matrix": [IDENTITY] * count,
        "orig_size": [(size, size)] * count,
    }


def changed(cfg, **parts):
    """Return a copy of `cfg` with keys of its parts replaced: ``changed(cfg, head={"num_classes": 4})``."""
    cfg = copy.deepcopy(cfg)
    for part, keys in parts.items():
        cfg[part].update(keys)
    return cfg


def test_the_tutorial_builds(tutorial_model):
    detector = build(tutorial_model)
    assert detector.num_classes == 80
    assert detector.strides == (8, 16, 32, 64, 128)
    assert detector.network.head.dequant.dtype == "int16"
    assert detector.post_process.max_per_img == 100
    assert detector.targets.loss_reg.loss_weight == 2.0


def test_what_it_is_pretrained_with_is_noted_and_not_read(small_model):
    assert build({**small_model(), "pretrained": "no/such/file.pth"}).pretrained == "no/such/file.pth"


def test_train_gives_losses_and_eval_gives_detections(small_model):
    detector, batch = build(small_model()), batch_of([[[8, 8, 40, 40]], []], [[1], []])
    losses = detector(batch)
    assert list(losses) == ["cls", "centerness", "reg"]
    sum(losses.values()).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in detector.parameters())
    detections = detector.eval()(batch)
    assert len(detections) == 2
    assert all(isinstance(d, Detections) for d in detections)


def test_under_autocast_the_network_is_half_and_boxes_and_losses_are_whole(small_model):
    detector, batch = build(small_model()), batch_of([[[8, 8, 40, 40]], []], [[1], []])
    seen = []
    convs = [module for module in detector.network.modules() if isinstance(module, torch.nn.Conv2d)]
    for conv in convs:
        conv.register_forward_hook(lambda module, args, y: seen.append(y.dtype))
    with torch.autocast("cpu", torch.bfloat16):
        losses = detector(batch)
    assert set(seen) == {torch.bfloat16}
    assert {loss.dtype for loss in losses.values()} == {torch.float32}
    whole = detector(batch)
    torch.testing.assert_close(losses, whole, rtol=0.05, atol=0.05)


def test_losses_by_hand(small_model):
    detector = build(small_model(num_classes=1))
    outputs = {}
    for stride, side in ((8, 4), (16, 2), (32, 1)):
        outputs[f"cls_logits_s{stride}"] = torch.full((1, 1, side, side), -30.0)  # surely nothing, at no cost
        outputs[f"bbox_regression_s{stride}"] = torch.ones(1, 4, side, side)
        outputs[f"centerness_s{stride}"] = torch.zeros(1, 1, side, side)
    outputs["cls_logits_s8"][0, 0, 1, 1] = 0.0
    # The point (12, 12) predicts 4…20; the box is 4 wider to the right. k = ⌊16 / 20 + …⌋ = 1.
    batch = batch_of([[[4, 4, 24, 20]]], [[0]], size=32)
    losses = detector.compute_losses(outputs, batch)
    assert losses["cls"].item() == pytest.approx(0.25 * 0.25 * math.log(2), rel=1e-4)
    assert losses["centerness"].item() == pytest.approx(math.log(2))  # any target costs log 2 at p = 0.5
    assert losses["reg"].item() == pytest.approx(1 - 16 / 20)  # weight and divisor are the one centerness


def test_losses_without_an_object_are_zero_and_carry_gradient(small_model):
    detector = build(small_model())
    losses = detector(batch_of([[], []], [[], []]))
    assert losses["centerness"].item() == losses["reg"].item() == 0.0
    assert losses["cls"].item() > 0
    sum(losses.values()).backward()
    assert detector.network.head.bbox_regression.weight.grad.abs().sum().item() == 0.0


def test_ignored_points_cost_nothing(small_model):
    detector = build(small_model())
    everywhere = batch_of([[[0, 0, 64, 64]]], [[-1]])
    assert detector(everywhere)["cls"].item() == 0.0


def test_channels_last_gives_the_same(small_model):
    detector = build(small_model()).eval()
    img = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        plain = detector.network(img)
        last = detector.network(img.to(memory_format=torch.channels_last))
    for name, x in plain.items():
        torch.testing.assert_close(last[name], x, rtol=1e-4, atol=1e-4)


def test_learns_one_picture(small_model):
    detector = build(small_model())
    batch = batch_of([[[8, 8, 40, 48]]], [[2]])
    batch["img"] = batch["img"] * 0.1
    batch["img"][0, 1, 8:48, 8:40] = 1.0
    optimizer = torch.optim.SGD(detector.parameters(), lr=0.05, momentum=0.9)
    first = None
    for _ in range(40):
        total = sum(detector(batch).values())
        first = total.item() if first is None else first
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
    assert total.item() < 0.75 * first
    # Batch statistics, because the running ones lag behind so short a training.
    with torch.no_grad():
        best = detector.detect(detector.network(batch["img"]), batch)[0]
    assert best.labels[0] == 2
    assert torch.dist(best.boxes[0], batch["gt_bboxes"][0][0], p=float("inf")) < 8


def test_image_sides_are_multiples_of_the_coarsest_stride(small_model):
    with pytest.raises(
        DataError, match=r"img is 64×48 .*multiples of 32, the coarsest stride.*set Pad's divisor to 32"
    ):
        build(small_model())({"img": torch.zeros(1, 3, 64, 48)})


def test_deploys_without_training_parts(small_model):
    without = {"targets": None, "loss_cls": None, "loss_centerness": None, "loss_reg": None}
    detector, batch = build(small_model(**without)), batch_of([[]], [[]])
    assert len(detector.eval()(batch)) == 1
    with pytest.raises(BuildError, match="losses need targets and loss_cls, loss_centerness, loss_reg in the model"):
        detector.train()(batch)
    bare = build(small_model(**without, post_process=None))
    with pytest.raises(BuildError, match="detection needs post_process=dict"):
        bare.eval()(batch)


def test_exactly_one_side_asks_for_the_stride(small_model):
    decoder_asks = changed(small_model(), head={"upscale_bbox_pred": False}, post_process={"upscale_bbox_pred": True})
    batch = batch_of([[]], [[]])
    once, other = (build(cfg).eval()(batch)[0] for cfg in (small_model(), decoder_asks))
    assert torch.equal(once.boxes, other.boxes)
    with pytest.raises(BuildError, match="are both True, so both ask for distances times stride; set exactly one"):
        build(changed(small_model(), post_process={"upscale_bbox_pred": True}))
    with pytest.raises(BuildError, match="are both False, so neither asks for distances times stride; set exactly one"):
        build(changed(small_model(), head={"upscale_bbox_pred": False}))
    build(changed(small_model(post_process=None), head={"upscale_bbox_pred": False}))


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"head": {"num_classes": 4}, "targets": {"cls_out_channels": 3}}, "targets.cls_out_channels is 3, but head"),
        ({"post_process": {"num_classes": 9}}, "post_process.num_classes is 9, but head.num_classes is 3"),
        ({"loss_cls": {"num_classes": 80}}, "loss_cls.num_classes is 80, but head.num_classes is 3; expected 3, or 4"),
        ({"targets": {"strides": [8, 16]}}, r"targets.strides is \(8, 16\), but head.out_strides is \(8, 16, 32\)"),
        ({"head": {"in_strides": [8, 16]}}, r"head.in_strides is \[8, 16\], but neck.out_strides is \[8, 16, 32\]"),
        ({"neck": {"stride2channels": {2: 9, 4: 8, 8: 8, 16: 16, 32: 16}}}, "neck.stride2channels is {2: 9"),
        ({"loss_reg": {"loss_name": "cls"}}, "are cls, centerness, cls; they must differ"),
        ({"loss_reg": {"reduction": "none"}}, "loss_reg.reduction is 'none', but a loss must be one number"),
    ],
)
def test_parts_that_contradict_one_another(small_model, changes, text):
    with pytest.raises(BuildError, match=text):
        build(changed(small_model(), **changes))


def test_targets_need_all_losses(small_model):
    with pytest.raises(
        BuildError, match="targets is given but loss_centerness, loss_reg is not; training needs all of"
    ):
        build(small_model(loss_centerness=None, loss_reg=None))
