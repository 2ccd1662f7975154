"""Assignment: a case worked by hand, and a plain loop over points and boxes as reference."""

import math

import pytest
import torch

from hatlite.errors import BuildError
from hatlite.models.assigners.dynamic_fcos_target import DynamicFcosTarget
from hatlite.models.losses.focal_loss import FocalLoss
from hatlite.models.losses.giou_loss import GIoULoss
from hatlite.models.predictions import DensePredictions
from hatlite.ops.boxes import decode_boxes, giou, iou, points_for_levels

NOTHING = (torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64))


def predictions_of(sizes, strides, images=1, classes=2, seed=0):
    generator = torch.Generator().manual_seed(seed)
    points, point_strides = points_for_levels(sizes, strides)
    shape = (images, len(points))
    return DensePredictions(
        torch.randn(*shape, classes, generator=generator),
        torch.rand(*shape, 4, generator=generator) * 4,
        torch.zeros(shape),
        points,
        point_strides,
        tuple(h * w for h, w in sizes),
    )


def assigner_of(classes=2, strides=(8, 16), **options):
    assigner = DynamicFcosTarget(**options)
    assigner.bind(classes, strides)
    return assigner


def focal(logit, target):
    probability = 1 / (1 + math.exp(-logit))
    if target:
        return 0.25 * (1 - probability) ** 2 * -math.log(probability)
    return 0.75 * probability**2 * -math.log(1 - probability)


def plain_assignment(predictions, boxes, classes, top_k=10):
    """Return {(image, point): (box, iou)} by loops, straight from the definition."""
    result = {}
    for image, (image_boxes, image_classes) in enumerate(zip(boxes, classes, strict=True)):
        wishes = {}
        for index, (box, label) in enumerate(zip(image_boxes, image_classes, strict=True)):
            if label < 0:
                continue
            costs, overlaps = {}, {}
            for point, (x, y) in enumerate(predictions.points.tolist()):
                if not (box[0] < x < box[2] and box[1] < y < box[3]):
                    continue
                distances = predictions.bbox_regression[image, point] * predictions.strides[point]
                predicted = decode_boxes(predictions.points[point], distances)
                logits = predictions.cls_logits[image, point].tolist()
                cls_cost = sum(focal(logit, k == label) for k, logit in enumerate(logits))
                costs[point] = cls_cost + 2 * (1 - giou(predicted, box).item())
                overlaps[point] = iou(predicted, box).item()
            k = max(1, int(sum(sorted(overlaps.values(), reverse=True)[:top_k])))
            for point in sorted(costs, key=costs.get)[:k]:
                wishes.setdefault(point, []).append((costs[point], index, overlaps[point]))
        for point, asked in wishes.items():
            _, index, overlap = min(asked)
            result[image, point] = (index, overlap)
    return result


@pytest.mark.parametrize("seed", range(4))
def test_agrees_with_a_plain_loop(seed):
    predictions = predictions_of([(8, 8), (4, 4)], (8, 16), images=3, seed=seed)
    generator = torch.Generator().manual_seed(100 + seed)
    boxes, classes = [], []
    for count in (4, 0, 6):
        corner, size = (
            torch.rand(count, 2, generator=generator) * 40,
            torch.rand(count, 2, generator=generator) * 30 + 2,
        )
        boxes.append(torch.cat([corner, corner + size], dim=1))
        classes.append(torch.randint(-1, 2, (count,), generator=generator))
    targets = assigner_of()(predictions, boxes, classes)
    expected = plain_assignment(predictions, boxes, classes)
    places = [tuple(place) for place in targets.positive.nonzero().tolist()]
    assert places == sorted(expected)
    for i, place in enumerate(places):
        box, overlap = expected[place]
        image, point = place
        assert targets.classes[place] == classes[image][box]
        assert targets.centerness[i].item() == pytest.approx(overlap, abs=1e-5)
        distances = targets.ltrb[i] * predictions.strides[point]
        torch.testing.assert_close(decode_boxes(predictions.points[point], distances), boxes[image][box])
    assert (targets.classes[~targets.positive] == 2).all()


def hand_case():
    """One row of four points at x = 4, 12, 20, 28 and y = 4; every prediction reaches one stride to all sides."""
    predictions = predictions_of([(1, 4)], (8,))
    predictions.bbox_regression.fill_(1.0)
    predictions.cls_logits.zero_()
    return predictions


def test_case_by_hand():
    boxes = torch.tensor([[-4.0, -4.0, 24.0, 12.0]])
    targets = assigner_of(strides=(8,))(hand_case(), [boxes], [torch.tensor([1])])
    # Points 0, 1, 2 lie inside. Their predictions of 16×16 overlap the box of 28×16 by 16, 16 and 12 of its width:
    # IoU 4/7, 4/7 and 12/32, so k = ⌊1.52⌋ = 1. Points 0 and 1 cost the same; the first one gets it.
    assert targets.positive.tolist() == [[True, False, False, False]]
    assert targets.classes.tolist() == [[1, 2, 2, 2]]
    assert targets.ltrb.tolist() == [[1.0, 1.0, 2.5, 1.0]]
    assert targets.centerness.tolist() == pytest.approx([4 / 7])
    assert targets.box_weights.tolist() == pytest.approx([math.sqrt(1 / 2.5)])


def test_better_class_wins_the_point():
    predictions = hand_case()
    predictions.cls_logits[0, 1, 1] = 3.0
    targets = assigner_of(strides=(8,))(predictions, [torch.tensor([[-4.0, -4.0, 24.0, 12.0]])], [torch.tensor([1])])
    assert targets.positive.tolist() == [[False, True, False, False]]


def test_contested_point_goes_to_the_cheaper_box():
    # Both boxes contain point 1 only; its prediction is exactly the second box.
    boxes = torch.tensor([[9.0, 1.0, 15.0, 7.0], [4.0, -4.0, 20.0, 12.0]])
    targets = assigner_of(strides=(8,))(hand_case(), [boxes], [torch.tensor([0, 1])])
    assert targets.classes.tolist() == [[2, 1, 2, 2]]
    assert targets.centerness.tolist() == [1.0]


def test_ignore_regions_are_not_background():
    boxes = torch.tensor([[-4.0, -4.0, 24.0, 12.0], [0.0, 0.0, 16.0, 8.0]])
    targets = assigner_of(strides=(8,))(hand_case(), [boxes], [torch.tensor([1, -1])])
    # Points 0 and 1 lie in the region, but 0 is positive and stays.
    assert targets.class_weights.tolist() == [[1.0, 0.0, 1.0, 1.0]]
    assert targets.classes.tolist() == [[1, 2, 2, 2]]


def test_nothing_to_find():
    predictions = predictions_of([(2, 2)], (8,), images=2)
    only_ignored = (torch.tensor([[0.0, 0.0, 9.0, 9.0]]), torch.tensor([-1]))
    boxes, classes = zip(NOTHING, only_ignored, strict=True)
    targets = assigner_of(strides=(8,))(predictions, boxes, classes)
    assert not targets.positive.any()
    assert targets.ltrb.shape == (0, 4)
    assert targets.centerness.shape == targets.box_weights.shape == (0,)
    assert targets.class_weights.tolist() == [[1.0] * 4, [0.0, 1.0, 1.0, 1.0]]


def test_a_box_between_the_points_has_no_positive():
    targets = assigner_of(strides=(8,))(hand_case(), [torch.tensor([[5.0, 1.0, 11.0, 7.0]])], [torch.tensor([0])])
    assert not targets.positive.any()


def test_takes_its_numbers_from_the_head():
    assigner = assigner_of(classes=5, strides=[8, 16])
    assert (assigner.num_classes, assigner.background_label, assigner.strides) == (5, 5, (8, 16))


def test_contradictions_name_both_places():
    with pytest.raises(BuildError, match=r"targets.cls_out_channels is 4, but head.num_classes is 2"):
        assigner_of(cls_out_channels=4)
    with pytest.raises(BuildError, match=r"targets.background_label is 80, but head.num_classes is 2"):
        assigner_of(background_label=80)
    assigner = DynamicFcosTarget(strides=[8])
    with pytest.raises(BuildError, match=r"targets.strides is \(8,\), but head.out_strides is \(8, 16\)"):
        assigner.bind(2, (8, 16))
    with pytest.raises(BuildError, match=r"targets.strides \[16, 8\] must rise .*; write \[8, 16\]"):
        DynamicFcosTarget(strides=[16, 8])
    with pytest.raises(BuildError, match=r"targets.topK is 0; expected a whole number from 1 up, such as 10"):
        DynamicFcosTarget(topK=0)
    with pytest.raises(BuildError, match=r"targets.loss_cls.num_classes is 9, but head.num_classes is 2"):
        assigner_of(loss_cls=FocalLoss(num_classes=9, reduction="none"))
    with pytest.raises(BuildError, match=r"targets.loss_reg.reduction is 'mean', but the cost of a pair is 'none'"):
        DynamicFcosTarget(loss_reg=GIoULoss())
