"""VOCMApMetric: cases worked by hand, and a slow literal implementation of the devkit's definition."""

import logging
import math

import numpy as np
import pytest
from detections import Truth, annotation, found

from hatlite.errors import BuildError
from hatlite.metrics.coco_map import COCODetectionMetric
from hatlite.metrics.group import MetricGroup
from hatlite.metrics.voc_map import VOCMApMetric, average_precision, table
from hatlite.registry import OBJECT_REGISTRY

A, B, C = (0, 0, 100, 100), (100, 100, 150, 150), (10, 120, 30, 140)


def measured(truth, *per_image, **options):
    metric = VOCMApMetric(dataset=truth, **options)
    metric.update({"img_id": list(range(1, len(per_image) + 1))}, list(per_image))
    return metric


def evaluate(truth, *per_image, **options):
    return measured(truth, *per_image, **options).compute()


def test_perfect_detections_score_one():
    truth = Truth(annotation(1, A), annotation(1, B, 2), annotation(2, C), images=2)
    perfect = found((A, 0.9, 0), (B, 0.8, 1)), found((C, 0.7, 0))
    for mode in ("11points", "area"):
        assert evaluate(truth, *perfect, mode=mode) == {"mAP": 1.0, "AP/cat": 1.0, "AP/dog": 1.0}


@pytest.mark.parametrize(("mode", "ap"), [("11points", 6 / 11), ("area", 0.5)])
def test_half_of_the_objects(mode, ap):
    # Precision is 1 at the recalls 0, 0.1 … 0.5: six of eleven points.
    assert evaluate(Truth(annotation(1, A), annotation(1, B)), found((A, 0.9, 0)), mode=mode)["mAP"] == ap


@pytest.mark.parametrize(("mode", "ap"), [("11points", (6 * 1 + 5 * 2 / 3) / 11), ("area", (0.5 + 0.5 * 2 / 3))])
def test_a_wrong_detection_between_two_right_ones(mode, ap):
    truth = Truth(annotation(1, A), annotation(1, B))
    assert evaluate(truth, found((A, 0.9, 0), (C, 0.8, 0), (B, 0.7, 0)), mode=mode)["mAP"] == pytest.approx(ap)


def test_an_object_is_found_once():
    result = measured(Truth(annotation(1, A)), found((A, 0.9, 0), (A, 0.8, 0))).class_results()[0]
    assert (result.gts, result.dets, result.recall, result.ap) == (1, 2, 1.0, 1.0)
    # With the higher score comes one that overlaps the object too little: it is wrong, and the next one right.
    near = (0, 0, 100, 45)
    assert evaluate(Truth(annotation(1, A)), found((near, 0.9, 0), (A, 0.8, 0)))["mAP"] == 0.5


def test_a_detection_looks_at_the_object_that_it_overlaps_most():
    # Both overlap the first object most; the second one is overlapped enough too, but never taken.
    first, second = (0, 0, 100, 100), (0, 0, 100, 120)
    truth = Truth(annotation(1, first), annotation(1, second))
    results = measured(truth, found((first, 0.9, 0), (first, 0.8, 0))).class_results()
    assert results[0].recall == 0.5


def test_the_threshold_belongs_to_what_is_right():
    half = (0, 0, 100, 50)
    assert evaluate(Truth(annotation(1, A)), found((half, 0.9, 0)))["mAP"] == 1.0
    assert evaluate(Truth(annotation(1, A)), found((half, 0.9, 0)), iou_threshold=0.51)["mAP"] == 0.0


def test_difficult_objects_count_neither_way():
    truth = Truth(annotation(1, A), annotation(1, B, ignore=1))
    plain = measured(truth, found((B, 0.9, 0), (A, 0.5, 0))).class_results()[0]
    assert (plain.gts, plain.dets, plain.recall, plain.ap) == (1, 2, 1.0, 1.0)
    assert evaluate(truth, found((A, 0.5, 0)))["mAP"] == 1.0
    assert evaluate(Truth(annotation(1, A), annotation(1, B, iscrowd=1)), found((B, 0.9, 0), (A, 0.5, 0)))["mAP"] == 1.0


def test_classes_without_objects_are_left_out(caplog):
    caplog.set_level(logging.INFO)
    truth = Truth(annotation(1, A), annotation(1, B, 2, ignore=1), names=("cat", "dog", "owl"))
    metric = measured(truth, found((A, 0.9, 0), (B, 0.8, 2)))
    assert metric.compute() == {"mAP": 1.0, "AP/cat": 1.0}
    _, dog, owl = metric.class_results()
    assert (dog.gts, dog.dets, owl.dets, math.isnan(dog.ap), math.isnan(owl.recall)) == (0, 0, 1, True, True)
    assert caplog.messages[0] == table(metric.class_results())


def test_the_table():
    lines = table(measured(Truth(annotation(1, A), names=("cat", "owl")), found((A, 0.9, 0))).class_results())
    assert lines.splitlines() == [
        "| class | gts | dets | recall | AP     |",
        "| ----- | --- | ---- | ------ | ------ |",
        "| cat   | 1   | 1    | 1.0000 | 1.0000 |",
        "| owl   | 0   | 0    |        |        |",
        "| mAP   |     |      |        | 1.0000 |",
    ]


def test_images_without_objects_score_zero_and_say_so(caplog):
    assert evaluate(Truth(), found((A, 0.9, 0))) == {"mAP": 0.0}
    assert "The 1 evaluated images hold no object to find; the metric is 0." in caplog.messages
    assert evaluate(Truth(annotation(1, A)), found())["mAP"] == 0.0


def test_legacy_widths():
    # 4 × 3 and 4 × 6 have an IoU of 0.5; with a pixel more on each side 5 × 4 and 5 × 7, which is more than a half.
    truth, box = Truth(annotation(1, (0, 0, 4, 6))), found(((0, 0, 4, 3), 0.9, 0))
    assert evaluate(truth, box, iou_threshold=0.55)["mAP"] == 0.0
    assert evaluate(truth, box, iou_threshold=0.55, legacy_widths=True)["mAP"] == 1.0
    assert evaluate(truth, box, iou_threshold=4 / 7, legacy_widths=True)["mAP"] == 1.0
    assert evaluate(truth, box, iou_threshold=4.01 / 7, legacy_widths=True)["mAP"] == 0.0


@pytest.mark.parametrize("kind", ["VOCMApMetric", "VOC07MApMetric"])
def test_voc_and_coco_are_measured_from_the_same_detections(kind):
    truth, boxes = Truth(annotation(1, A), annotation(1, B, 2)), found(((0, 0, 100, 75), 0.9, 0), (B, 0.8, 1))
    group = MetricGroup([COCODetectionMetric(), OBJECT_REGISTRY.build({"type": kind, "prefix": "VOC_"})])
    group.bind(truth)
    group.update({"img_id": [1]}, [boxes])
    values = group.compute()
    assert values["VOC_mAP"] == values["VOC_AP/cat"] == values["VOC_AP/dog"] == 1.0
    # An IoU of 0.75 is enough for six of COCO's ten thresholds.
    assert (values["AP/cat"], values["AP/dog"], values["mAP"]) == pytest.approx((0.6, 1.0, 0.8))


def test_average_precision_of_curves():
    assert average_precision(np.array([]), np.array([])) == 0.0
    recall, precision = np.array([0.1, 0.2, 0.3]), np.array([1.0, 0.5, 2 / 3])
    assert average_precision(recall, precision, "area") == pytest.approx(0.1 + 0.2 * 2 / 3)
    assert average_precision(recall, precision, "11points") == pytest.approx((2 * 1 + 2 * 2 / 3) / 11)


def literal(objects, detections, mode, pixel=0.0):
    """The devkit's definition for one class, step by step. Objects: image → [(box, difficult)]."""
    taken = {image: [False] * len(rows) for image, rows in objects.items()}
    positives = sum(not difficult for rows in objects.values() for _, difficult in rows)
    right, wrong, curve = 0, 0, []
    for image, box, _ in sorted(detections, key=lambda row: -row[2]):
        best, chosen = -1.0, None
        for number, (other, _) in enumerate(objects.get(image, [])):
            width = min(box[2], other[2]) - max(box[0], other[0]) + pixel
            height = min(box[3], other[3]) - max(box[1], other[1]) + pixel
            if width > 0 and height > 0:
                areas = [(b[2] - b[0] + pixel) * (b[3] - b[1] + pixel) for b in (box, other)]
                overlap = width * height / (sum(areas) - width * height)
                if overlap > best:
                    best, chosen = overlap, number
        if best >= 0.5:
            if objects[image][chosen][1]:
                continue
            if taken[image][chosen]:
                wrong += 1
            else:
                taken[image][chosen] = True
                right += 1
        else:
            wrong += 1
        curve.append((right / positives, right / (right + wrong)))
    if mode == "11points":
        return sum(max([p for r, p in curve if r >= t / 10], default=0.0) for t in range(11)) / 11
    area, before = 0.0, 0.0
    for i, (recall, _) in enumerate(curve):
        area += (recall - before) * max(p for _, p in curve[i:])
        before = recall
    return area


def drawn(seed, images=6):
    """Return objects, some difficult and overlapping, and detections that hit some of them, in whole pixels."""
    draw = np.random.default_rng(seed)
    objects = {
        image: [
            ((x, y, x + w, y + h), bool(draw.random() < 0.25))
            for x, y, w, h in draw.integers((0, 0, 10, 10), (60, 60, 60, 60), (draw.integers(0, 5), 4)).tolist()
        ]
        for image in range(1, images + 1)
    }
    detections = []
    for image, rows in objects.items():
        boxes = [box for box, _ in rows for _ in range(2)] + [(5, 5, 40, 40)] * 2
        for box in boxes:
            moved = np.array(box) + draw.integers(-8, 9, 4)
            detections.append((image, (*moved[:2].tolist(), *np.maximum(moved[2:], moved[:2] + 1).tolist()),
                               float(np.float32(draw.random()))))  # fmt: skip
    return objects, detections


@pytest.mark.parametrize("legacy_widths", [False, True])
@pytest.mark.parametrize("mode", ["11points", "area"])
def test_the_devkits_definition_gives_the_same(mode, legacy_widths):
    for seed in range(12):
        objects, detections = drawn(seed)
        rows = [annotation(image, box, ignore=int(d)) for image, some in objects.items() for box, d in some]
        per_image = [found(*((box, s, 0) for i, box, s in detections if i == image)) for image in objects]
        values = evaluate(Truth(*rows, images=6), *per_image, mode=mode, legacy_widths=legacy_widths)
        expected = literal(objects, detections, mode, float(legacy_widths))
        assert values["mAP"] == pytest.approx(expected, abs=1e-12)


def test_pycocotools_agrees_where_the_definitions_do():
    """Objects apart from one another and none difficult: each detection has one object that it can take."""
    draw = np.random.default_rng(0)
    boxes = [(60 * i, 10, 60 * i + 40, 50) for i in range(3)]
    truth = Truth(*(annotation(image, box) for image in range(1, 9) for box in boxes), images=8)
    per_image = [
        found(*((tuple((np.array(box) + draw.integers(-9, 10, 4)).tolist()), float(draw.random()), 0) for box in boxes))
        for _ in range(8)
    ]
    metric = COCODetectionMetric(dataset=truth)
    metric.update({"img_id": list(range(1, 9))}, per_image)
    # COCO takes 101 points of the curve of which the area is the limit.
    assert evaluate(truth, *per_image, mode="area")["mAP"] == pytest.approx(metric.compute()["AP50"], abs=0.01)


@pytest.mark.parametrize(("kind", "ap"), [("VOCMApMetric", 0.5), ("VOC07MApMetric", 6 / 11)])
def test_it_is_built_and_bound_like_any_metric(kind, ap):
    metric = OBJECT_REGISTRY.build({"type": kind, "iou_threshold": 0.6})
    metric.bind(Truth(annotation(1, A), annotation(1, B)))
    metric.update({"img_id": [1]}, [found((A, 0.9, 0))])
    assert metric.compute()["mAP"] == ap


def test_refuses_what_it_cannot_measure():
    with pytest.raises(BuildError, match="mode is '12points'; expected one of area, 11points"):
        VOCMApMetric(mode="12points")
    with pytest.raises(BuildError, match="iou_threshold is 0; expected a number above 0 and up to 1"):
        VOCMApMetric(iou_threshold=0)
