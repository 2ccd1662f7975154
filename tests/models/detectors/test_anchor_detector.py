"""What SSD and RetinaNet share: both modes, sizes, and every contradiction that is refused."""

import copy

import pytest
import torch

from hatlite.errors import BuildError, DataError
from hatlite.registry import OBJECT_REGISTRY
from hatlite.structures import Detections

OBJECTS = ([[[8, 8, 40, 40]], []], [[1], []])


def build(cfg):
    torch.manual_seed(0)
    return OBJECT_REGISTRY.build(cfg, path="['model']")


def changed(cfg, **parts):
    cfg = copy.deepcopy(cfg)
    for part, keys in parts.items():
        cfg[part].update(keys)
    return cfg


@pytest.fixture(params=["small_ssd", "small_retinanet"])
def small(request):
    return request.getfixturevalue(request.param)


def test_train_gives_losses_and_eval_gives_detections(small, batch_of):
    detector, batch = build(small()), batch_of(*OBJECTS)
    losses = detector(batch)
    assert list(losses) == ["cls", "reg"]
    sum(losses.values()).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in detector.parameters())
    detections = detector.eval()(batch)
    assert len(detections) == 2
    assert all(isinstance(d, Detections) for d in detections)


def test_without_an_object_boxes_cost_nothing(small, batch_of):
    losses = build(small())(batch_of([[], []], [[], []]))
    assert losses["reg"].item() == 0.0
    sum(losses.values()).backward()


def test_learns_one_picture(small, batch_of):
    detector, batch = build(small()), batch_of([[[8, 8, 40, 48]]], [[2]])
    batch["img"] = batch["img"] * 0.1
    batch["img"][0, 1, 8:48, 8:40] = 1.0
    optimizer = torch.optim.SGD(detector.parameters(), lr=0.05, momentum=0.9)
    first = None
    for _ in range(30):
        total = sum(detector(batch).values())
        first = total.item() if first is None else first
        optimizer.zero_grad()
        total.backward()
        torch.nn.utils.clip_grad_norm_(detector.parameters(), 10.0)
        optimizer.step()
    assert total.item() < 0.5 * first
    with torch.no_grad():  # with batch statistics, because the running ones lag behind so short a training
        best = detector.detect(detector.network(batch["img"]), batch)[0]
    assert best.labels[0] == 2
    assert torch.dist(best.boxes[0], batch["gt_bboxes"][0][0], p=float("inf")) < 8


def test_anchors_of_one_size_take_no_other(small_ssd, small_retinanet, batch_of):
    text = (
        r"SSD: img is 96×96 .* made for 64×64; resize .*img_scale=\(64, 64\), keep_ratio=False\), or change input_size"
    )
    with pytest.raises(DataError, match=text):
        build(small_ssd())(batch_of([[]], [[]], size=96))
    assert (build(small_ssd()).input_size, build(small_retinanet()).input_size) == ((64, 64), None)
    detector, batch = build(small_ssd()), batch_of([[]], [[]], size=96)
    outputs = detector.network(batch["img"])  # it would take them, as evaluation does
    with pytest.raises(DataError, match="the anchors are made for 64×64"):
        detector.detect(outputs, batch)
    with pytest.raises(DataError, match="the anchors are made for 64×64"):
        detector.compute_losses(outputs, batch)
    assert len(build(small_retinanet()).eval()(batch_of([[]], [[]], size=96))) == 1
    with pytest.raises(DataError, match="RetinaNet: img is 80×80 .* must be multiples of 32"):
        build(small_retinanet())(batch_of([[]], [[]], size=80))


def test_boxes_are_written_as_the_coder_says(small_ssd, small_retinanet, batch_of):
    plain, coder = small_retinanet(), {"type": "DeltaXYWHCoder", "stds": (0.5,) * 4}
    regression = [build(cfg)(batch_of(*OBJECTS))["reg"].item() for cfg in (plain, {**plain, "box_coder": coder})]
    assert regression[1] > regression[0]  # targets are twice as large
    assert build(small_ssd()).post_process.box_coder.stds == (0.1, 0.1, 0.2, 0.2)
    assert build(plain).post_process.box_coder.stds == (1, 1, 1, 1)


def test_deploys_without_training_parts(small, batch_of):
    without = {"targets": None, "loss_cls": None, "loss_reg": None}
    detector = build(small(**without))
    assert len(detector.eval()(batch_of([[]], [[]]))) == 1
    with pytest.raises(BuildError, match="losses need targets and loss_cls, loss_reg in the model; they were left out"):
        detector.train()(batch_of([[]], [[]]))
    kind = "SSDDecoder" if detector.softmax else "RetinaDecoder"
    with pytest.raises(BuildError, match=rf"detection needs post_process=dict\(type='{kind}', …\) in the model"):
        build(small(post_process=None)).eval()(batch_of([[]], [[]]))


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"targets": {"num_classes": 9}}, "targets.num_classes is 9, but head.num_classes is 3"),
        ({"post_process": {"num_classes": 9}}, "post_process.num_classes is 9, but head.num_classes is 3"),
        ({"post_process": {"strides": [8]}}, r"post_process.strides is \(8,\), but head.out_strides is \(8, 16, 32\)"),
        ({"neck": {"out_strides": [8, 16, 32, 64]}}, r"head.in_strides is \[8, 16, 32\], but neck.out_strides is \[8,"),
    ],
)
def test_parts_that_contradict_one_another(small, changes, text):
    with pytest.raises(BuildError, match=text):
        build(changed(small(), **changes))


def test_classes_are_counted_alike_everywhere(small_ssd, small_retinanet):
    ssd, retina = small_ssd(), small_retinanet()
    with pytest.raises(BuildError, match="SSD takes a head such as SSDHead, not one that counts classes like RetinaHe"):
        build({**ssd, "head": retina["head"]})
    with pytest.raises(BuildError, match="RetinaNet takes a head such as RetinaHead, not one that counts classes like"):
        build({**retina, "head": ssd["head"]})
    with pytest.raises(
        BuildError, match=r"SSD: loss_cls does not suit .*; take dict\(type='CrossEntropyLossV2', use_s"
    ):
        build({**ssd, "loss_cls": retina["loss_cls"]})
    with pytest.raises(BuildError, match=r"RetinaNet: loss_cls does not suit .*; take dict\(type='FocalLoss'\)"):
        build({**retina, "loss_cls": ssd["loss_cls"]})
    with pytest.raises(BuildError, match="post_process reads otherwise; take SSDDecoder"):
        build({**ssd, "post_process": retina["post_process"]})
    with pytest.raises(BuildError, match="loss_cls.num_classes is 80, but head.num_classes is 3; expected 3, or 4"):
        build(changed(retina, loss_cls={"num_classes": 80}))
