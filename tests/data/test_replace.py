from pathlib import Path

import pytest

from hatlite.data.replace import replace_folder
from hatlite.errors import DataError, OutputError


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_folder_appears_when_the_block_ends(tmp_path):
    with replace_folder(tmp_path / "a" / "out", force=False) as folder:
        (folder / "x").write_text("1")
        assert not (tmp_path / "a" / "out").exists()
    assert names(tmp_path / "a") == ["out"]
    assert names(tmp_path / "a" / "out") == ["x"]


def test_nothing_is_left_after_an_error(tmp_path):
    def interrupted():
        with replace_folder(tmp_path / "out", force=False) as folder:
            (folder / "x").write_text("1")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert names(tmp_path) == []
    with pytest.raises(ValueError, match="broken"), replace_folder(tmp_path / "a" / "b" / "out", force=False):
        raise ValueError("broken")
    assert names(tmp_path) == []  # nor the folders that were made for it


def test_an_existing_folder_is_kept_or_replaced_whole(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "old").touch()
    with pytest.raises(DataError, match="out exists already; pass --force"):
        replace_folder(tmp_path / "out", force=False).__enter__()
    assert names(tmp_path / "out") == ["old"]
    with pytest.raises(ValueError, match="broken"), replace_folder(tmp_path / "out", force=True):
        raise ValueError("broken")
    assert names(tmp_path / "out") == ["old"]
    with replace_folder(tmp_path / "out", force=True) as folder:
        (folder / "new").touch()
    assert names(tmp_path) == ["out"]
    assert names(tmp_path / "out") == ["new"]


def test_a_place_where_nothing_can_be_made_is_named():
    with pytest.raises(OutputError, match=r"^/proc/out cannot be written \(.*\); name another place\.$"):
        replace_folder(Path("/proc/out"), force=False).__enter__()
