import json
import os

import pytest

from hatlite.data.datasets.coco import Coco
from hatlite.data.packing import SKIPPED, pack_coco
from hatlite.errors import DataError, DataNotFoundError


@pytest.fixture
def root(write_coco):
    return write_coco()


@pytest.mark.parametrize("num_workers", [0, 2])
def test_records_hold_the_original_bytes_in_the_order_of_ids(root, num_workers):
    summary = pack_coco(root, root / "out", "val", num_workers=num_workers)
    dataset = Coco(root / "out" / "val_lmdb")
    assert [dataset.read(i)[0].name for i in range(2)] == ["a.jpg", "b.jpg"]
    assert [dataset.read(i)[1] for i in range(2)] == [(root / f"val2017/{n}.jpg").read_bytes() for n in "ab"]
    assert "val_lmdb: 2 images, 2 classes (cat, dog)" in summary
    assert "1 boxes dropped" in summary


def test_packing_twice_needs_force(root):
    pack_coco(root, root, "val")
    with pytest.raises(DataError, match="val_lmdb exists already; pass --force"):
        pack_coco(root, root, "val")
    pack_coco(root, root, "val", force=True)
    assert len(Coco(root / "val_lmdb")) == 2


def spoil(root):
    path = root / "val2017/a.jpg"
    path.write_bytes(path.read_bytes()[:-100])


def test_bad_images_are_refused_together_and_nothing_is_left(root):
    spoil(root)
    (root / "val2017/b.jpg").unlink()
    before = sorted(os.listdir(root))
    with pytest.raises(DataError, match="2 of 2 images cannot be packed:\n- image a.jpg is a truncated JPEG") as caught:
        pack_coco(root, root, "val")
    assert "b.jpg cannot be read: No such file" in str(caught.value)
    assert str(caught.value).endswith("Mend them, or pass --skip-bad.")
    assert sorted(os.listdir(root)) == before


def test_bad_images_may_be_skipped_and_are_counted(root):
    spoil(root)
    assert f"1 {SKIPPED}: image a.jpg is a truncated" in pack_coco(root, root, "val", skip_bad=True)
    dataset = Coco(root / "val_lmdb")
    assert [dataset.record(i).name for i in range(len(dataset))] == ["b.jpg"]
    assert dataset.report.counts[SKIPPED] == 1


def test_only_bad_images_are_too_many_to_skip(root):
    (root / "val2017/b.jpg").unlink()
    spoil(root)
    with pytest.raises(DataError, match="2 of 2 images cannot be packed"):
        pack_coco(root, root, "val", skip_bad=True)


def test_another_number_of_classes_is_refused(root):
    with pytest.raises(DataError, match=r"--num-classes is 80, but .*instances_val2017.json defines 2: cat, dog;"):
        pack_coco(root, root, "val", num_classes=80)
    assert not (root / "val_lmdb").exists()
    assert "2 classes" in pack_coco(root, root, "val", num_classes=2)


def test_ten_bad_images_are_named(root, coco_content):
    coco_content["images"] = [{"id": i, "file_name": f"{i}.jpg", "height": 5, "width": 5} for i in range(13)]
    coco_content["annotations"] = []
    (root / "annotations/instances_val2017.json").write_text(json.dumps(coco_content))
    with pytest.raises(DataError, match="(?s)13 of 13 images cannot.*9.jpg cannot be read.*- and 3 more\nMend"):
        pack_coco(root, root, "val")


def test_an_image_of_another_size_is_bad(root, coco_content):
    coco_content["images"][0]["height"] = 30
    (root / "annotations/instances_val2017.json").write_text(json.dumps(coco_content))
    with pytest.raises(DataError, match="1 of 2 .*\n- image b.jpg has 32×24 pixels where its annotation says 32×30"):
        pack_coco(root, root, "val")


def test_a_missing_split_names_the_one_that_exists(root):
    with pytest.raises(DataNotFoundError, match="(?s)Did you mean '.*instances_val2017.json'"):
        pack_coco(root, root, "train")


def test_a_missing_image_folder_is_named(root):
    (root / "val2017").rename(root / "images")
    with pytest.raises(DataNotFoundError, match="the image folder is expected at .*val2017, which does not exist"):
        pack_coco(root, root, "val")
