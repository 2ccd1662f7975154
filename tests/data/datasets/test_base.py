import numpy as np
import pytest

from hatlite.data.datasets.base import DetectionDataset
from hatlite.data.datasets.record import ImageRecord
from hatlite.data.datasets.report import DataReport
from hatlite.data.image import encode_jpeg
from hatlite.errors import DataError


class Memory(DetectionDataset):
    """Images of one size with the given objects."""

    def __init__(self, *images, classes=("cat", "dog"), ids=None, **values):
        super().__init__(classes, **values)
        ids = ids or range(1, len(images) + 1)
        self.records = [ImageRecord.of(i, f"{i}.jpg", (8, 12), o) for i, o in zip(ids, images, strict=True)]

    def __len__(self):
        return len(self.records)

    def record(self, index):
        return self.records[index]

    def read(self, index):
        return self.records[index], encode_jpeg(np.full((8, 12, 3), 50 * index, np.uint8))


CAT = {"box": (1, 2, 5, 8), "label": 0, "area": 20}
CROWD = {"box": (0, 0, 9, 3), "label": 1, "area": 27, "ignore": True, "crowd": True}


def test_a_sample_has_the_keys_of_the_seam():
    sample = Memory([], [CAT, CROWD]).load(1)
    assert set(sample) == {"img", "gt_bboxes", "gt_classes", "img_id", "img_name", "orig_size", "matrix"}
    assert sample["img"].shape == (8, 12, 3)
    assert sample["img"].dtype == np.uint8
    assert sample["gt_bboxes"].tolist() == [[1, 2, 5, 8], [0, 0, 9, 3]]
    assert sample["gt_bboxes"].dtype == np.float32
    assert sample["gt_classes"].tolist() == [0, -1]
    assert sample["gt_classes"].dtype == np.int64
    assert (sample["img_id"], sample["img_name"], sample["orig_size"]) == (2, "2.jpg", (8, 12))
    assert (sample["matrix"] == np.eye(3)).all()


def test_an_image_without_objects_keeps_its_shapes():
    sample = Memory([]).load(0)
    assert sample["gt_bboxes"].shape == (0, 4)
    assert sample["gt_classes"].shape == (0,)


def test_transforms_run_in_order_with_the_given_generator():
    def double(sample, rng):
        return sample | {"value": 2 * sample["img_id"]}

    def add(sample, rng):
        return sample | {"value": sample["value"] + int(rng.integers(100))}

    dataset = Memory([], transforms=[double, add])
    expected = [2 + int(np.random.default_rng(seed).integers(100)) for seed in (0, 5)]
    assert dataset[0]["value"] == expected[0]
    assert dataset.get(0, np.random.default_rng(5))["value"] == expected[1]


def test_a_transform_cannot_change_the_boxes_of_the_data_set():
    dataset = Memory([CAT])
    dataset.load(0)["gt_bboxes"][:] = 0
    assert dataset.load(0)["gt_bboxes"].tolist() == [[1, 2, 5, 8]]


def test_annotations_are_in_coco_form():
    found = Memory([CAT], [CROWD, CAT]).annotations()
    assert found["categories"] == [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}]
    assert found["images"][1] == {"id": 2, "file_name": "2.jpg", "height": 8, "width": 12}
    assert [a["id"] for a in found["annotations"]] == [1, 2, 3]
    assert found["annotations"][1] == {
        **{"id": 2, "image_id": 2, "category_id": 2, "bbox": [0, 0, 9, 3], "area": 27, "iscrowd": 1, "ignore": 1}
    }


def test_repeated_image_ids_cannot_be_evaluated():
    with pytest.raises(DataError, match="Two images of the data set have the id 3"):
        Memory([], [], ids=[3, 3]).annotations()


def test_classes_are_needed():
    with pytest.raises(DataError, match="Memory: the annotations name no class"):
        Memory(classes=())


def test_a_report_is_logged_once_at_construction(caplog):
    Memory([], report=DataReport({"boxes dropped": 2}))
    assert [r.getMessage() for r in caplog.records] == ["Memory: 2 boxes dropped"]
