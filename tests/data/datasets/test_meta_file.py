import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hatlite.data.datasets.meta_file import (
    MetaLine,
    format_line,
    parse_line,
    read_meta_file,
    require_countable,
    write_meta,
)
from hatlite.errors import DataError, DataNotFoundError

names = st.text(st.characters(exclude_categories=("Cs", "Cc", "Zl", "Zp")), min_size=1).map(str.strip).filter(bool)
numbers = st.integers(-(10**6), 10**6)
objects = st.lists(st.tuples(numbers, numbers, numbers, numbers, numbers), max_size=4).map(tuple)


def test_the_line_of_the_toolkit():
    line = parse_line("005332.jpg 224 151 262 194 1 336 126 369 188 13\n")
    assert line == MetaLine("005332.jpg", ((224, 151, 262, 194, 1), (336, 126, 369, 188, 13)))
    assert format_line(line) == "005332.jpg 224 151 262 194 1 336 126 369 188 13"
    assert parse_line("a.png") == MetaLine("a.png")


@given(names, objects)
@example("a b.jpg", ())
@example('"', ())
@example("2007.jpg 3.jpg", ((1, 2, 3, 4, 5),))
def test_every_name_comes_back(name, objects):
    line = MetaLine(name, objects)
    text = format_line(line)
    assert len(text.splitlines()) == 1
    assert parse_line(text) == line


@pytest.mark.parametrize(
    "quoted", ['"my photo 3.jpg" 1 2 3 4 0', "my photo 3.jpg 1 2 3 4 0", "my  photo 3.JPG 1 2 3 4 0"]
)
def test_blanks_in_a_name_are_read_with_quotes_and_without(quoted):
    assert parse_line(quoted).objects == ((1, 2, 3, 4, 0),)
    assert parse_line(quoted).name.split() in (["my", "photo", "3.jpg"], ["my", "photo", "3.JPG"])


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a.jpg 1 2 3 4", r"4 numbers stand behind a.jpg, and an object has five, x1 y1 x2 y2 class; 4 is no multiple"),
        ("a.jpg 1 2 3 4.5 0", r"'4.5' stands behind a.jpg, where whole numbers are expected, x1 y1 x2 y2 class"),
        ("1 2 3 4 0", r"'1 2 3 4 0' begins with no name of a .jpg, .jpeg or .png file"),
        (r'"a\q.jpg" 1 2 3 4 0', r"is no name in quotes \(Invalid .escape"),
    ],
)
def test_a_bad_line_is_told(text, sentence):
    with pytest.raises(DataError, match=sentence):
        parse_line(text)


def test_a_file_is_written_and_read_with_the_numbers_of_its_lines(tmp_path):
    path, lines = tmp_path / "x_train.txt", [MetaLine("a.jpg"), MetaLine("b c.jpg", ((1, 2, 3, 4, 0),))]
    write_meta(path, lines)
    path.write_text("\n" + path.read_text() + "\nd.jpg 1\n")
    found, problems = read_meta_file(path)
    assert found == {2: lines[0], 3: lines[1]}
    (problem,) = problems
    assert problem.startswith(f"{path}:5: 1 numbers stand behind d.jpg, and an object has five")


def test_a_file_that_is_none_is_told(tmp_path):
    with pytest.raises(DataNotFoundError, match=r"a metadata file \(made by tools/voc_to_meta.py\) is expected at"):
        read_meta_file(tmp_path / "x_train.txt")
    (tmp_path / "x_train.txt").write_text("\n")
    with pytest.raises(DataError, match=r"x_train.txt is empty; a data set needs at least one image, so make it anew"):
        read_meta_file(tmp_path / "x_train.txt")
    (tmp_path / "x_train.txt").write_bytes(b"\xff\xd8")
    with pytest.raises(DataError, match=r"x_train.txt is no text; expected lines of an image's name and five numbers"):
        read_meta_file(tmp_path / "x_train.txt")


def test_classes_that_fit_the_chip():
    require_countable(["x"] * 245, "GNetMeta")
    with pytest.raises(DataError, match=r"GNetMeta: there are 256 classes; GNetDet takes up to 245. .* would need 266"):
        require_countable(["x"] * 256, "GNetMeta")
