import pytest
from detections import Truth, annotation, found
from hypothesis import given
from hypothesis import strategies as st

from hatlite.errors import BuildError, DataError
from hatlite.metrics import ConfusionMatrix

A, B, C = (0, 0, 100, 100), (100, 100, 150, 150), (10, 120, 30, 140)
LOWER = (0, 50, 100, 150)  # IoU with A: 1/3


def measured(truth, *per_image, **options):
    metric = ConfusionMatrix(dataset=truth, **options)
    metric.update({"img_id": list(range(1, len(per_image) + 1))}, list(per_image))
    return metric


def counts(truth, *per_image, **options):
    return measured(truth, *per_image, **options).counts().tolist()


def test_right_confused_missed_and_background():
    truth = Truth(annotation(1, A), annotation(1, B, 2), annotation(2, A, 2), images=2)
    metric = measured(truth, found((A, 0.9, 0), (B, 0.8, 0), (C, 0.7, 1)), found())
    assert metric.names == ["cat", "dog"]
    assert metric.counts().tolist() == [[1, 0, 0], [1, 0, 1], [0, 1, 0]]
    assert metric.compute() == {"found": 1 / 3, "confused": 1 / 3, "missed": 1 / 3}


def test_by_score_a_second_detection_of_an_object_is_one_of_the_background():
    assert counts(Truth(annotation(1, A)), found((A, 0.9, 1), (A, 0.8, 0))) == [[0, 1, 0], [0, 0, 0], [1, 0, 0]]


def test_a_detection_takes_the_free_object_that_it_overlaps_most():
    near = (0, 10, 100, 110)
    truth = Truth(annotation(1, A), annotation(1, near, 2))
    assert counts(truth, found((near, 0.9, 1), (near, 0.8, 0))) == [[1, 0, 0], [0, 1, 0], [0, 0, 0]]


@pytest.mark.parametrize(("threshold", "row"), [(0.3, [1, 0, 0]), (0.34, [0, 0, 1])])
def test_enough_is_what_the_iou_threshold_says(threshold, row):
    assert counts(Truth(annotation(1, A)), found((LOWER, 0.9, 0)), iou_threshold=threshold)[0] == row


def test_low_scores_do_not_count():
    assert counts(Truth(annotation(1, A)), found((A, 0.29, 0))) == [[0, 0, 1], [0, 0, 0], [0, 0, 0]]


def test_what_overlaps_a_region_to_ignore_counts_neither_way():
    difficult = Truth(annotation(1, A, ignore=1))
    assert counts(difficult, found((A, 0.9, 0), (A, 0.8, 1), (B, 0.7, 1))) == [[0, 0, 0], [0, 0, 0], [0, 1, 0]]
    crowd = Truth(annotation(1, (0, 0, 200, 200), iscrowd=1))
    assert counts(crowd, found((C, 0.9, 0))) == [[0, 0, 0]] * 3  # it lies in the crowd, whatever their IoU


def test_a_real_object_comes_before_a_region_to_ignore():
    truth = Truth(annotation(1, A, ignore=1), annotation(1, (0, 10, 100, 110)))
    assert counts(truth, found((A, 0.9, 0)))[0] == [1, 0, 0]


boxes = st.tuples(st.integers(0, 50), st.integers(0, 50), st.integers(51, 100), st.integers(51, 100))
labelled = st.lists(st.tuples(boxes, st.integers(0, 1)), max_size=6)


@given(objects=labelled, detected=labelled)
def test_every_object_and_every_detection_is_counted_once(objects, detected):
    truth = Truth(*(annotation(1, box, label + 1) for box, label in objects))
    matrix = measured(truth, found(*((box, 0.5, label) for box, label in detected))).counts()
    for label in (0, 1):
        assert matrix[label].sum() == sum(one == label for _, one in objects)
        assert matrix[:, label].sum() == sum(one == label for _, one in detected)
    assert matrix[2, 2] == 0


@pytest.mark.parametrize("options", [{"score_threshold": 1.1}, {"iou_threshold": 0}, {"iou_threshold": 2}])
def test_thresholds_are_checked(options):
    with pytest.raises(BuildError, match=r"ConfusionMatrix: score_threshold is .* expected numbers in 0…1, the second"):
        ConfusionMatrix(**options)


def test_without_images_there_is_nothing_to_count():
    with pytest.raises(DataError, match="ConfusionMatrix: no image was evaluated"):
        ConfusionMatrix(dataset=Truth()).counts()
