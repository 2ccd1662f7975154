"""A reader sees the older file or the new one, never a part."""

from pathlib import Path

import pytest

from hatlite.errors import DataNotFoundError, OutputError
from hatlite.files import make_folder, output_folder, whole_file


def test_the_file_appears_when_it_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b.txt"
    with whole_file(path) as unfinished:
        unfinished.write_text("new")
        assert not path.exists()
        assert unfinished.suffix == ".txt"
    assert path.read_text() == "new"
    assert list(path.parent.iterdir()) == [path]


def test_an_error_leaves_the_older_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "b.txt"
    path.write_text("old")
    with (
        pytest.raises(TypeError, match="must be str, not bytes"),
        whole_file(path) as unfinished,
        unfinished.open("w") as file,
    ):
        file.write(b"half")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_name_that_cannot_be_replaced_leaves_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "folder"
    (path / "inside").mkdir(parents=True)
    with (
        pytest.raises(OutputError, match=r"folder cannot be written \(Is a directory\); name another"),
        whole_file(path) as unfinished,
    ):
        unfinished.write_text("new")
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    assert make_folder(tmp_path / "a" / "b").is_dir()
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"file/in/it cannot be written \(Not a directory\); name another place"):
        make_folder(tmp_path / "file" / "in" / "it")
    with (
        pytest.raises(OutputError, match=r"file/in/it cannot be written \(Not a directory\)"),
        whole_file(tmp_path / "file" / "in" / "it"),
    ):
        pass


def test_what_the_block_says_itself_stays(tmp_path: Path) -> None:
    with pytest.raises(DataNotFoundError, match=r"^no picture$"), whole_file(tmp_path / "a"):
        raise DataNotFoundError("no picture")


def test_a_folder_for_results_goes_where_none_came(tmp_path: Path) -> None:
    with output_folder(tmp_path / "a" / "b") as folder:
        assert folder.is_dir()
    with pytest.raises(DataNotFoundError, match=r"^no picture$"), output_folder(tmp_path / "a" / "b"):
        raise DataNotFoundError("no picture")
    assert not list(tmp_path.iterdir())
    with output_folder(tmp_path / "a" / "b") as folder:
        (folder / "result").write_text("")
    with output_folder(tmp_path / "a"):
        pass
    assert [path.name for path in tmp_path.rglob("*")] == ["a", "b", "result"]


@pytest.mark.parametrize("place", ["/proc", "/proc/none/here", "/dev/null", "/dev/null/here"])
def test_a_folder_for_results_is_tried_before_the_work(place: str) -> None:
    with pytest.raises(OutputError, match=rf"^{place} cannot be written \(.*; name another"), output_folder(place):
        pytest.fail("the work began")
