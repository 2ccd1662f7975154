import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hatlite.data.datasets.record import CLIPPED, DROPPED, NOT_FINITE, ImageRecord, clean_record
from hatlite.data.datasets.report import DataReport
from hatlite.data.image import encode_jpeg
from hatlite.errors import DataError


def record_of(*boxes, **values) -> ImageRecord:
    return ImageRecord.of(1, "a.jpg", (20, 30), [{"box": box, "label": i, **values} for i, box in enumerate(boxes)])


def test_boxes_are_clipped_and_degenerate_ones_dropped():
    report = DataReport()
    found = clean_record(
        record_of((-3, 2, 10, 25), (5, 5, 6, 9), (40, 2, 50, 9), (np.nan, 0, 9, 9), (1, 1, 9, 9)), report
    )
    assert found.boxes.tolist() == [[0, 2, 10, 20], [1, 1, 9, 9]]
    assert found.labels.tolist() == [0, 4]
    assert report.counts == {NOT_FINITE: 1, DROPPED: 2, CLIPPED: 1}
    assert report.examples[CLIPPED] == ["a.jpg (-3, 2, 10, 25)"]


def test_the_smallest_box_kept_is_larger_than_a_pixel():
    assert len(clean_record(record_of((5, 5, 6, 8)), DataReport()).boxes) == 0
    assert len(clean_record(record_of((5, 5, 6.01, 8)), DataReport()).boxes) == 1


@settings(max_examples=40, derandomize=True)
@given(st.lists(st.tuples(*[st.floats()] * 4), max_size=6))
def test_cleaned_boxes_lie_in_the_image_and_nothing_is_lost_unsaid(boxes):
    report = DataReport()
    found = clean_record(record_of(*boxes), report).boxes
    assert ((found >= 0) & (found <= [30, 20, 30, 20])).all()
    assert (found[:, 2:] - found[:, :2] > 1).all()
    assert len(found) == len(boxes) - report.counts.get(DROPPED, 0) - report.counts.get(NOT_FINITE, 0)


def test_ignored_objects_have_class_minus_one():
    record = ImageRecord.of(
        1, "a.jpg", (20, 30), [{"box": (0, 0, 5, 5), "label": 2}, {"box": (0, 0, 9, 9), "label": 1, "ignore": True}]
    )
    assert record.classes.tolist() == [2, -1]
    assert record.labels.tolist() == [2, 1]


def test_a_record_survives_plain_values():
    record = record_of((0, 0, 5.5, 5), (1, 2, 3, 4), crowd=True, area=7.0)
    again = ImageRecord.from_dict(record.to_dict())
    assert again.to_dict() == record.to_dict()
    assert again.boxes.dtype == np.float32
    assert again.labels.dtype == np.int64
    assert again.areas.tolist() == [7.0, 7.0]


def test_an_image_of_another_size_is_refused():
    data = encode_jpeg(np.zeros((20, 31, 3), np.uint8))
    with pytest.raises(DataError, match=r"a\.jpg has 31×20 pixels where its annotation says 30×20"):
        record_of().decode(data)
