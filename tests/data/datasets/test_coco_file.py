import json

import pytest

from hatlite.data.datasets.coco_file import read_coco_file
from hatlite.data.datasets.record import CLIPPED, DROPPED
from hatlite.errors import DataError, DataNotFoundError


@pytest.fixture
def read(tmp_path, coco_content):
    def run():
        path = tmp_path / "instances.json"
        path.write_text(json.dumps(coco_content))
        return read_coco_file(path)

    return run


def test_classes_follow_category_ids_and_records_image_ids(read):
    classes, records, report = read()
    assert classes == ["cat", "dog"]
    assert [r.img_id for r in records] == [4, 9]
    assert records[0].boxes.tolist() == [[2, 3, 12, 11], [20, 10, 32, 15]]
    assert records[0].labels.tolist() == [1, 0]
    assert records[0].classes.tolist() == [1, -1]
    assert records[0].areas.tolist() == [60.0, 12 * 5]
    assert records[0].crowd.tolist() == [False, True]
    assert records[1].boxes.shape == (0, 4)
    assert report.counts == {CLIPPED: 1, DROPPED: 1}


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataNotFoundError, match="a COCO annotation file is expected at .*nothing.json"):
        read_coco_file(tmp_path / "nothing.json")


def test_broken_json_is_refused(tmp_path):
    (tmp_path / "a.json").write_text('{"images": [')
    with pytest.raises(DataError, match=r"a\.json is not valid JSON \(Expecting value"):
        read_coco_file(tmp_path / "a.json")


@pytest.mark.parametrize("content", [[], {"images": [], "annotations": 3, "categories": []}])
def test_another_form_is_refused(tmp_path, content):
    (tmp_path / "a.json").write_text(json.dumps(content))
    with pytest.raises(DataError, match=r"has no list '(images|annotations)'; expected COCO's"):
        read_coco_file(tmp_path / "a.json")


def test_missing_keys_are_named(read, coco_content):
    del coco_content["images"][1]["height"]
    with pytest.raises(DataError, match=r"images\[1\] lacks height"):
        read()


def test_an_entry_that_is_no_object_is_refused(read, coco_content):
    coco_content["annotations"].append(7)
    with pytest.raises(DataError, match=r"annotations\[3\] is 7; expected an object"):
        read()


def test_an_image_without_a_size_is_refused(read, coco_content):
    coco_content["images"][0]["width"] = 0
    with pytest.raises(DataError, match=r"image b\.jpg has the size 24 × 0; expected height and width in whole pixels"):
        read()


def test_no_image_is_refused(read, coco_content):
    coco_content["images"] = []
    with pytest.raises(DataError, match="lists no image; a data set needs at least one"):
        read()


def test_unknown_categories_are_refused_by_name(read, coco_content):
    coco_content["annotations"][1]["category_id"] = 5
    with pytest.raises(DataError, match=r"1 annotations refer to categories .* annotation 2 \(category_id 5\)"):
        read()


def test_unknown_images_are_refused_by_name(read, coco_content):
    coco_content["annotations"][0]["image_id"] = 5
    with pytest.raises(DataError, match=r"1 annotations refer to images .* annotation 1 \(image_id 5\)"):
        read()


def test_repeated_ids_are_refused(read, coco_content):
    coco_content["images"].append(coco_content["images"][0])
    with pytest.raises(DataError, match="images with the same id: 9"):
        read()


@pytest.mark.parametrize("bbox", [[1, 2, 3], None, [1, 2, 3, "x"]])
def test_a_malformed_box_is_refused(read, coco_content, bbox):
    coco_content["annotations"][0]["bbox"] = bbox
    with pytest.raises(DataError, match="annotation 1 has the bbox .* expected four numbers"):
        read()


def test_a_malformed_area_is_refused(read, coco_content):
    coco_content["annotations"][0]["area"] = "large"
    with pytest.raises(DataError, match="annotation 1 has .* the area 'large'; expected .* and a number"):
        read()
