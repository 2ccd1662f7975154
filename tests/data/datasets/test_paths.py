import pytest

from hatlite.data.datasets.paths import near_path, require_path
from hatlite.errors import DataNotFoundError


def test_an_existing_path_is_returned(tmp_path):
    assert require_path(str(tmp_path), "the data") == tmp_path


def test_a_missing_path_names_the_same_path_under_a_near_name(tmp_path):
    (tmp_path / "mscoco" / "train_lmdb").mkdir(parents=True)
    with pytest.raises(DataNotFoundError, match=r"packed data set is expected at .*coco/train_lmdb, which") as caught:
        require_path(tmp_path / "coco" / "train_lmdb", "a packed data set")
    assert f"holds mscoco.\n  Did you mean '{tmp_path}/mscoco/train_lmdb'?" in str(caught.value)


def test_a_missing_entry_names_its_nearest_neighbour(tmp_path):
    (tmp_path / "train.txt").touch()
    (tmp_path / "val.txt").touch()
    with pytest.raises(DataNotFoundError, match=r"holds train\.txt, val\.txt\.\n  Did you mean '.*/train\.txt'"):
        require_path(tmp_path / "trian.txt", "the list")


def test_an_empty_folder_has_nothing_to_offer(tmp_path):
    with pytest.raises(DataNotFoundError, match=r"holds nothing\.$"):
        require_path(tmp_path / "a" / "b", "the list")


def test_the_tutorials_folder_is_answered_with_the_one_that_the_packer_writes(tmp_path):
    folder = tmp_path / "tmp_data"
    assert near_path(folder / "coco/train_lmdb/") == f"\n  Did you mean '{folder}/mscoco/train_lmdb'?"
    (folder / "mscoco").mkdir(parents=True)
    assert near_path(folder / "coco/train_lmdb/") == f"\n  Did you mean '{folder}/mscoco'?"
    (folder / "mscoco/train_lmdb").mkdir()
    assert near_path(folder / "coco/train_lmdb/") == f"\n  Did you mean '{folder}/mscoco/train_lmdb'?"
    assert near_path(folder / "voc") == ""
