import pickle

import numpy as np
import pytest
from torch.utils.data import DataLoader

from hatlite.data.datasets.coco import Coco, CocoFromImage
from hatlite.data.lmdb_store import write_lmdb
from hatlite.data.packing import pack_coco
from hatlite.errors import DataError, DataNotFoundError
from hatlite.registry import OBJECT_REGISTRY


@pytest.fixture
def root(write_coco):
    return write_coco()


def folder_dataset(root):
    return CocoFromImage(root / "val2017", root / "annotations" / "instances_val2017.json")


def test_folder_and_lmdb_hold_the_same(root):
    pack_coco(root, root, "val")
    packed, plain = Coco(root / "val_lmdb"), folder_dataset(root)
    assert packed.classes == plain.classes == ["cat", "dog"]
    assert len(packed) == len(plain) == 2
    assert packed.annotations() == plain.annotations()
    for index in range(2):
        for key, value in plain[index].items():
            np.testing.assert_array_equal(packed[index][key], value)
    assert packed.report.counts == plain.report.counts


def test_both_are_registered():
    assert OBJECT_REGISTRY.get("CocoFromLMDB") is OBJECT_REGISTRY.get("Coco") is Coco
    assert OBJECT_REGISTRY.get("CocoFromImage") is CocoFromImage


def test_a_missing_lmdb_names_a_near_one(root):
    pack_coco(root, root, "val")
    with pytest.raises(DataNotFoundError, match=r"a packed data set \(made by tools/mscoco_packer\.py\).*") as caught:
        Coco(root / "vla_lmdb")
    assert f"Did you mean '{root}/val_lmdb'?" in str(caught.value)


def test_a_store_of_something_else_is_refused(tmp_path):
    write_lmdb(tmp_path / "x", [{"a": 1}], lambda: {})
    with pytest.raises(DataError, match="/x holds no class table; it was not packed by tools/mscoco_packer.py"):
        Coco(tmp_path / "x")


def test_missing_images_are_refused_at_construction(root):
    (root / "val2017" / "a.jpg").unlink()
    with pytest.raises(DataNotFoundError, match=r"1 of 2 annotated images are missing in .*val2017: a\.jpg"):
        folder_dataset(root)


def test_a_missing_image_folder_is_named(root):
    with pytest.raises(DataNotFoundError, match=r"(?s)the image folder is expected at .*Did you mean '.*val2017'"):
        CocoFromImage(root / "val2071", root / "annotations" / "instances_val2017.json")


def test_a_truncated_image_is_named_when_it_is_loaded(root):
    path = root / "val2017" / "a.jpg"
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(DataError, match=r"image a\.jpg is a truncated JPEG"):
        folder_dataset(root).load(0)


def test_an_image_that_went_away_is_named_when_it_is_loaded(root):
    dataset = folder_dataset(root)
    (root / "val2017" / "a.jpg").unlink()
    with pytest.raises(DataError, match=r"image .*a\.jpg cannot be read: No such file"):
        dataset.load(0)


def test_workers_read_the_lmdb_that_their_parent_opened(root):
    pack_coco(root, root, "val")
    dataset = Coco(root / "val_lmdb")
    here = [dataset[i]["img"] for i in range(2)]
    loader = DataLoader(dataset, num_workers=1, batch_size=None, collate_fn=lambda sample: sample["img"])
    for mine, theirs in zip(here, loader, strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_two_data_sets_may_share_an_lmdb_and_one_may_be_pickled(root):
    pack_coco(root, root, "val")
    first, second = Coco(root / "val_lmdb"), Coco(str(root / "val_lmdb") + "/")
    third = pickle.loads(pickle.dumps(first))
    assert first.annotations() == second.annotations() == third.annotations()
