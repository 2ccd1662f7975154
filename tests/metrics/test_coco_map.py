import json

import pytest
import torch
from detections import Truth, annotation, found
from hypothesis import given, settings
from hypothesis import strategies as st

from hatlite.errors import BuildError, DataError, DataNotFoundError
from hatlite.metrics.coco_map import COCODetectionMetric
from hatlite.registry import OBJECT_REGISTRY


def evaluate(truth, *per_image):
    metric = COCODetectionMetric(dataset=truth)
    metric.update({"img_id": list(range(1, len(per_image) + 1))}, list(per_image))
    return metric.compute()


ONE = pytest.approx(1.0)  # COCOeval adds the smallest float to every denominator
A, B, C = (0, 0, 100, 100), (100, 100, 150, 150), (10, 120, 30, 140)


def test_perfect_detections_score_one(capsys):
    values = evaluate(
        Truth(annotation(1, A), annotation(1, B, 2), annotation(2, C), images=2),
        found((A, 0.9, 0), (B, 0.8, 1)),
        found((C, 0.7, 0)),
    )
    names = ("mAP", "AP50", "AP75", "AR100", "AP_small", "AP_medium", "AP_large", "AP/cat", "AP/dog")
    assert values == pytest.approx(dict.fromkeys(names, 1.0))
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(("width", "levels"), [(50, 1), (62, 3), (77, 6), (96, 10), (49, 0)])
def test_one_box_of_known_overlap_counts_at_the_levels_below_it(width, levels):
    values = evaluate(Truth(annotation(1, A)), found(((0, 0, width, 100), 0.9, 0)))
    assert values["mAP"] == pytest.approx(levels / 10)  # the levels are 0.50, 0.55, … 0.95
    assert values["AP50"] == pytest.approx(float(width >= 50))
    assert values["AP75"] == pytest.approx(float(width >= 75))


def test_half_of_the_objects_found_gives_half_of_the_recall_points():
    values = evaluate(Truth(annotation(1, A), annotation(1, B)), found((A, 0.9, 0)))
    assert values["mAP"] == pytest.approx(51 / 101)  # recall 0, 0.01, … 0.50 at precision 1
    assert values["AR100"] == pytest.approx(0.5)


def test_a_false_detection_above_the_true_one_halves_precision():
    values = evaluate(Truth(annotation(1, A)), found((B, 0.9, 0), (A, 0.8, 0)))
    assert values["AP50"] == pytest.approx(0.5)
    assert evaluate(Truth(annotation(1, A)), found((A, 0.9, 0), (B, 0.8, 0)))["AP50"] == ONE


def test_classes_are_averaged_and_absent_ones_left_out():
    truth = Truth(annotation(1, A), annotation(1, B, 2), names=("cat", "dog", "owl"))
    values = evaluate(truth, found((A, 0.9, 0)))
    assert (values["AP/cat"], values["AP/dog"], values["mAP"]) == (ONE, 0.0, pytest.approx(0.5))
    assert "AP/owl" not in values
    assert "AP_small" not in values


def test_ignored_objects_neither_miss_nor_spoil():
    for mark in ({"ignore": 1}, {"iscrowd": 1, "ignore": 1}):
        truth = Truth(annotation(1, A), annotation(1, B, **mark))
        assert evaluate(truth, found((A, 0.5, 0)))["mAP"] == ONE
        assert evaluate(truth, found((B, 0.9, 0), (A, 0.5, 0)))["mAP"] == ONE


def test_no_detection_scores_zero():
    values = evaluate(Truth(annotation(1, A)), found())
    assert (values["mAP"], values["AP50"], values["AR100"], values["AP/cat"]) == (0, 0, 0, 0)


def test_images_without_objects_score_zero_and_say_so(caplog):
    assert evaluate(Truth(), found((A, 0.9, 0))) == dict.fromkeys(("mAP", "AP50", "AP75", "AR100"), 0.0)
    assert "The 1 evaluated images hold no object to find; the metric is 0." in caplog.messages


def test_only_evaluated_images_count_and_it_says_so(caplog):
    truth = Truth(annotation(1, A), annotation(2, A), images=2)
    assert evaluate(truth, found((A, 0.9, 0)))["mAP"] == ONE
    assert caplog.messages == ["The metric covers 1 of 2 images."]


def test_reset_starts_anew():
    metric = COCODetectionMetric(dataset=Truth(annotation(1, A)))
    metric.update({"img_id": [1]}, [found()])
    assert metric.compute()["mAP"] == 0.0
    metric.reset()
    metric.update({"img_id": torch.tensor([1])}, [found((A, 0.9, 0))])
    assert metric.compute()["mAP"] == ONE


def test_truth_from_a_file_maps_labels_to_category_ids_in_order(tmp_path, capsys):
    truth = Truth(annotation(1, A, 40), annotation(1, B, 7))
    truth.content["categories"] = [{"id": 40, "name": "dog"}, {"id": 7, "name": "cat"}]
    (tmp_path / "a.json").write_text(json.dumps(truth.content))
    metric = COCODetectionMetric(ann_file=tmp_path / "a.json")
    metric.bind(Truth())  # what the constructor was given stays
    metric.update({"img_id": [1]}, [found((A, 0.9, 1), (B, 0.8, 0))])
    assert metric.compute()["mAP"] == ONE
    assert capsys.readouterr().out == ""


def test_bind_gives_the_truth():
    metric = OBJECT_REGISTRY.build({"type": "COCODetectionMetric"})
    metric.bind(Truth(annotation(1, A)))
    metric.update({"img_id": [1]}, [found((A, 0.9, 0))])
    assert metric.compute()["mAP"] == ONE


@settings(max_examples=5, derandomize=True)
@given(st.lists(st.tuples(st.integers(0, 99), st.integers(0, 99), st.floats(0.0625, 1, width=16)), max_size=6))
def test_metrics_lie_between_zero_and_one_and_a_better_score_never_hurts(rows):
    others = [((x, y, x + 50, y + 60), score, 0) for x, y, score in rows]
    truth = Truth(annotation(1, A))
    low, high = (evaluate(truth, found(*others, (A, score, 0)))["mAP"] for score in (0.01, 2.0))
    assert 0 < low <= high == ONE


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataNotFoundError, match=r"ann_file .*none\.json cannot be read: No such file"):
        COCODetectionMetric(ann_file=tmp_path / "none.json")


@pytest.mark.parametrize("text", ["{", "[]", '{"annotations": [{}]}', "{}"])
def test_a_file_of_another_form_is_refused(tmp_path, text):
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(DataError, match=r"ann_file .*a\.json holds no COCO annotations"):
        COCODetectionMetric(ann_file=tmp_path / "a.json")


def test_two_truths_are_refused(tmp_path):
    with pytest.raises(DataError, match="from ann_file or from dataset, not from both"):
        COCODetectionMetric(ann_file="a.json", dataset=Truth())


def test_no_truth_is_refused():
    with pytest.raises(DataError, match="has no ground truth; give it ann_file or dataset, or call bind"):
        COCODetectionMetric().update({"img_id": [1]}, [found()])


def test_no_image_is_refused():
    with pytest.raises(DataError, match="no image was evaluated; call update"):
        COCODetectionMetric(dataset=Truth()).compute()


@pytest.fixture
def metric():
    return COCODetectionMetric(dataset=Truth(annotation(1, A)))


def test_different_counts_are_refused(metric):
    with pytest.raises(DataError, match="2 detections came for 1 images"):
        metric.update({"img_id": [1]}, [found(), found()])


def test_an_image_evaluated_twice_is_refused(metric):
    metric.update({"img_id": [1]}, [found()])
    with pytest.raises(DataError, match="Image 1 was evaluated twice"):
        metric.update({"img_id": [1]}, [found()])


def test_an_unknown_image_is_refused(metric):
    with pytest.raises(DataError, match="Image 8 is not in the ground truth"):
        metric.update({"img_id": [8]}, [found()])


@pytest.mark.parametrize("label", [-1, 2])
def test_an_unknown_label_is_refused(metric, label):
    with pytest.raises(DataError, match=rf"Image 1 has labels {label}…{label}, but .* 2 categories; num_classes"):
        metric.update({"img_id": [1]}, [found((A, 0.9, label))])


@pytest.mark.parametrize("row", [((0, 0, float("nan"), 9), 0.5, 0), (A, float("inf"), 0)])
def test_values_that_are_not_finite_are_refused(metric, row):
    with pytest.raises(DataError, match="Image 1 has detections that are not finite"):
        metric.update({"img_id": [1]}, [found(row)])


def test_the_annotations_of_other_classes_are_refused(tmp_path):
    class Data:
        classes = ["dog", "cat"]

    path = tmp_path / "truth.json"
    path.write_text(json.dumps(Truth(annotation(1, A)).content))
    metric = COCODetectionMetric(path)
    said = "COCODetectionMetric: class 0 is 'cat' in ann_file and 'dog' in Data; a label would mean two things. Name"
    with pytest.raises(DataError, match=said):
        metric.bind(Data())
    Data.classes = [f"c{i}" for i in range(12)]
    with pytest.raises(DataError, match="only ann_file has 'cat', 'dog' and only Data has 'c0', .*, 'c9' and 2 more"):
        metric.bind(Data())
    Data.classes = ["cat", "dog"]
    metric.bind(Data())


def test_the_detections_are_left_in_cocos_form(tmp_path):
    metric = COCODetectionMetric(dataset=Truth(annotation(1, A)), save_prefix=tmp_path / "results/val", cleanup=False)
    metric.update({"img_id": [1]}, [found((A, 0.5, 1))])
    metric.compute()
    (file,) = (tmp_path / "results").iterdir()
    assert file.name == "val.bbox.json"
    assert json.loads(file.read_text()) == [{"image_id": 1, "category_id": 2, "bbox": [0, 0, 100, 100], "score": 0.5}]


def test_by_itself_no_file_is_left(tmp_path):
    metric = COCODetectionMetric(dataset=Truth(annotation(1, A)), val_interval=1, save_prefix=str(tmp_path / "val"))
    metric.update({"img_id": [1]}, [found((A, 0.5, 1))])
    metric.compute()
    assert list(tmp_path.iterdir()) == []


def test_keys_that_contradict_each_other_are_refused():
    with pytest.raises(BuildError, match="val_interval is 5; set val_interval=5 of Validation instead"):
        COCODetectionMetric(val_interval=5)
    with pytest.raises(BuildError, match="cleanup is False, and no save_prefix says where to leave the file"):
        COCODetectionMetric(cleanup=False)
