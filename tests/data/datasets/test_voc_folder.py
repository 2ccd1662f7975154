import pytest

from hatlite.data.datasets.report import DataReport
from hatlite.data.datasets.voc_folder import image_files, read_annotated, require_all, xml_files
from hatlite.errors import DataError, DataNotFoundError

DOG = ("dog", (3, 4, 12, 9))


def test_files_have_the_name_of_their_image(write_voc):
    root = write_voc({"b": [DOG], "a b": []})
    (root / "Annotations/notes.txt").write_text("no annotation")
    assert list(xml_files(root)) == ["a b", "b"]
    assert image_files(root)["a b"] == root / "JPEGImages/a b.jpg"


def test_what_is_missing_says_who_named_it(tmp_path):
    with pytest.raises(DataNotFoundError, match=r"1 of 2 files named by the list are missing in .*: b\."):
        require_all(["a", "b"], {"a"}, tmp_path, "the list")


def test_a_crowd_is_ignored_as_a_difficult_object_is(write_voc):
    root = write_voc({"a": [DOG, (*DOG, 1)]})
    file = root / "Annotations/a.xml"
    file.write_text(file.read_text().replace("<difficult>1</difficult>", "<iscrowd>1</iscrowd>"))
    (one,) = read_annotated([(file, root / "JPEGImages/a.jpg")], False, DataReport())
    assert [found["ignore"] for found in one.content.objects] == [False, True]
    file.write_text(file.read_text().replace("<iscrowd>1</iscrowd>", "<iscrowd>yes</iscrowd>"))
    with pytest.raises(DataError, match="an object 'dog' has the iscrowd flag 'yes'; expected 0, 1 or none"):
        read_annotated([(file, root / "JPEGImages/a.jpg")], False, DataReport())


def test_all_problems_are_told_together(write_voc):
    root = write_voc({name: [("dog", (9, 3, 2, 9))] for name in "ab"})
    images = image_files(root)
    pairs = [(file, images[name]) for name, file in xml_files(root).items()]
    with pytest.raises(DataError, match=r"(?s)The annotations have 2 problems:\n- .*a\.xml.*\n- .*b\.xml.*--repair"):
        read_annotated(pairs, False, DataReport())
