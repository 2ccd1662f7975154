"""MaxIoUAssigner: each rule by a case worked by hand, and torchvision's matcher on drawn ones."""

import pytest
import torch
from torchvision.models.detection._utils import Matcher
from torchvision.ops import box_iou

from hatlite.errors import BuildError
from hatlite.models.assigners.max_iou_assigner import MaxIoUAssigner

ANCHORS = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 8], [0, 0, 10, 6], [0, 0, 10, 4], [50, 50, 60, 60]])


def assign(boxes, classes, anchors=ANCHORS, **options):
    assigner = MaxIoUAssigner(**{"gt_max_assign_all": False, **options})
    assigner.bind(3)
    boxes = [torch.tensor(b, dtype=torch.float32).reshape(-1, 4) for b in boxes]
    return assigner(anchors, boxes, [torch.tensor(c, dtype=torch.int64) for c in classes])


def test_thresholds():
    # The box overlaps the anchors by 1.0, 0.8, 0.6, 0.4 and 0.
    targets = assign([[[0, 0, 10, 10]]], [[2]], pos_iou_thr=0.7, neg_iou_thr=0.5)
    assert targets.classes.tolist() == [[2, 2, 3, 3, 3]]
    assert targets.positive.tolist() == [[True, True, False, False, False]]
    assert targets.class_weights.tolist() == [[1, 1, 0, 1, 1]]
    assert targets.boxes.tolist() == [[0, 0, 10, 10]] * 2
    assert assign([[[0, 0, 10, 10]]], [[2]]).class_weights.all()


def test_every_object_takes_its_best_anchor():
    far = [[52, 52, 55, 55]]
    assert assign([far], [[1]]).classes.tolist() == [[3, 3, 3, 3, 1]]
    assert not assign([far], [[1]], min_pos_iou=0.1).positive.any()  # their IoU is 0.09
    assert not assign([[[80, 80, 90, 90]]], [[1]]).positive.any()  # it overlaps none


def test_an_object_may_take_an_anchor_from_another():
    # Both objects have the first anchor as their best; the last one takes it, the first keeps the second anchor.
    targets = assign([[[0, 0, 10, 10], [0, 0, 10, 20]]], [[0, 1]], anchors=ANCHORS[:2])
    assert targets.classes.tolist() == [[1, 0]]
    assert targets.boxes.tolist() == [[0, 0, 10, 20], [0, 0, 10, 10]]


def test_one_or_all_of_equal_anchors():
    twice = ANCHORS[[4, 4]]
    assert assign([[[52, 52, 55, 55]]], [[1]], anchors=twice).positive.tolist() == [[True, False]]
    assert assign([[[52, 52, 55, 55]]], [[1]], anchors=twice, gt_max_assign_all=True).positive.all()


def test_images_without_objects_and_of_several():
    targets = assign([[], [[0, 0, 10, 10], [50, 50, 60, 60]], []], [[], [2, 0], []])
    assert targets.classes.tolist() == [[3] * 5, [2, 2, 2, 3, 0], [3] * 5]
    assert targets.boxes.tolist() == [[0, 0, 10, 10]] * 3 + [[50, 50, 60, 60]]
    assert assign([[]], [[]]).boxes.shape == (0, 4)


def test_regions_to_ignore():
    boxes, classes = [[[0, 0, 10, 5], [50, 50, 60, 60]]], [[-1, 1]]
    background = assign(boxes, classes)
    assert background.classes.tolist() == [[3, 3, 3, 3, 1]]
    assert background.class_weights.all()
    # Of the anchors 0.5, 0.625, 0.83 and 1.0 lie in the region.
    assert assign(boxes, classes, ignore_iof_thr=0.6).class_weights.tolist() == [[1, 0, 0, 0, 1]]
    covered = assign([[[50, 50, 60, 60]] * 2], [[-1, 1]], ignore_iof_thr=0.6)
    assert not covered.positive.any()


@pytest.mark.parametrize("seed", range(5))
def test_torchvision_matches_the_same(seed):
    draw = torch.Generator().manual_seed(seed)
    anchors, boxes = (torch.rand(n, 2, generator=draw).repeat(1, 2) * 60 for n in (300, 6))
    anchors[:, 2:] += 5 + 40 * torch.rand(300, 2, generator=draw)
    boxes[:, 2:] += 5 + 40 * torch.rand(6, 2, generator=draw)
    targets = assign([boxes.tolist()], [[0] * 6], anchors=anchors, pos_iou_thr=0.5, neg_iou_thr=0.4)
    # Theirs gives the anchor that is some object's best back to the object that it overlaps most.
    matches = Matcher(0.5, 0.4)(box_iou(boxes, anchors))
    best = box_iou(boxes, anchors).argmax(dim=1)
    plain = torch.ones(300, dtype=torch.bool)
    plain[best] = False
    assert torch.equal(targets.positive[0][plain], matches[plain] >= 0)
    assert torch.equal(targets.class_weights[0][plain] == 0, matches[plain] == -2)
    assert targets.positive[0][best].all()
    kept = targets.positive[0] & plain
    assert torch.equal(targets.boxes[plain[targets.positive[0]]], boxes[matches[kept]])


def test_classes_come_from_the_head():
    assigner = MaxIoUAssigner(num_classes=4)
    with pytest.raises(BuildError, match="targets.num_classes is 4, but head.num_classes is 3"):
        assigner.bind(3)


@pytest.mark.parametrize("options", [{"neg_iou_thr": 0.6}, {"pos_iou_thr": 1.5}, {"min_pos_iou": -0.1}])
def test_thresholds_that_contradict_one_another(options):
    with pytest.raises(BuildError, match="expected 0 ≤ neg_iou_thr ≤ pos_iou_thr ≤ 1 and 0 ≤ min_pos_iou ≤ 1"):
        MaxIoUAssigner(**options)
