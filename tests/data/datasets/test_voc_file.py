import pytest

from hatlite.data.datasets.voc_file import names_in, read_split, read_voc_file, require_voc
from hatlite.errors import DataError, DataNotFoundError

DOG = ("dog", (3, 4, 12, 9))


@pytest.fixture
def annotation(write_voc):
    """Replace a part of the annotation a.xml; return its file."""

    def change(old, new):
        file = write_voc({"a": [DOG]}) / "Annotations/a.xml"
        file.write_text(file.read_text().replace(old, new))
        return file

    return change


def split_of(root, text, split="dog_train"):
    (root / f"ImageSets/Main/{split}.txt").write_text(text)
    return read_split(root, split, {path.stem for path in (root / "Annotations").iterdir()})


def test_an_annotation_by_hand(annotation):
    found = read_voc_file(annotation("", ""))
    assert found.size == (24, 32)
    assert found.objects == [{"box": (2, 3, 12, 9), "name": "dog", "ignore": False}]
    assert found.problems("a.xml") == []


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("</annotation>", "", r"a\.xml is not valid XML \(.*\); expected a Pascal VOC annotation"),
        ("<annotation>", '<?xml version="1.0" encoding="klingon"?><annotation>', r"a\.xml is not valid XML"),
        ("annotation>", "coco>", r"a\.xml is XML of another kind: it begins with <coco>, and VOC's with <annotation>"),
        ("<xmin>3</xmin>", "", r"an object 'dog' has the bndbox \[None, '4', '12', '9'\]; expected four numbers"),
        ("<xmin>3", "<xmin>nan", r"an object 'dog' has the bndbox \['nan', .* expected four numbers"),
        ("bndbox>", "box>", r"an object 'dog' has the bndbox \[None, None, None, None\]; expected four numbers"),
        ("<name>dog</name>", "", r"an object at \['3', '4', '12', '9'\] has no name"),
        ("<difficult>0", "<difficult>hard", r"'dog' has the difficult flag 'hard'; expected 0, 1 or none"),
    ],
)
def test_what_is_no_annotation_is_named(annotation, old, new, said):
    with pytest.raises(DataError, match=said):
        read_voc_file(annotation(old, new))


def test_an_annotation_that_cannot_be_read_is_named(tmp_path):
    (tmp_path / "a.xml").mkdir()
    with pytest.raises(DataError, match=r"a\.xml cannot be read: Is a directory\."):
        names_in(tmp_path / "a.xml")


def test_the_flags_of_a_class_choose_its_images(write_voc):
    root = write_voc({"a": [DOG], "b": [], "c": [], "d e": [DOG], "f 1": [DOG]})
    assert split_of(root, "a  1\nb -1\n\nc\t0\nd e 1\nf 1\n") == ["a", "c", "d e", "f 1"]


def test_a_list_that_names_no_image_is_refused(write_voc):
    root = write_voc({"a": [DOG], "b": []})
    with pytest.raises(DataError, match=r"dog_train\.txt says of every image that it holds none \(-1\); a data set n"):
        split_of(root, "a -1\nb -1\n")
    with pytest.raises(DataError, match=r"none\.txt is empty; a data set needs at least one image, so name another"):
        split_of(root, "\n \n", "none")


def test_a_list_that_is_no_text_is_refused(write_voc):
    root = write_voc({"a": [DOG]})
    (root / "ImageSets/Main/odd.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match=r"odd\.txt is no text; expected the name of an image in each line"):
        read_split(root, "odd", {"a"})


def test_the_folder_above_the_data_sets_names_them(write_voc):
    above = write_voc({"a": [DOG]}).parent
    with pytest.raises(DataNotFoundError, match=r"has no ImageSets itself; below it are the data sets voc\. Name one"):
        require_voc(above)
