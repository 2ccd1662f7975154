import pytest

from hatlite.data.datasets.meta import GNetMeta
from hatlite.data.datasets.record import CLIPPED, DROPPED
from hatlite.data.datasets.voc import VOCFromImage
from hatlite.errors import DataError, DataNotFoundError

CLASSES = ["cat", "dog"]


@pytest.fixture
def meta(write_voc, tmp_path):
    """Write lines as the metadata of three images of 24×32 (height × width); return the arguments of the data set."""

    def write(*lines, classes=CLASSES):
        root = write_voc({"a": [("dog", (3, 4, 12, 9))], "b": [("cat", (1, 1, 32, 24))], "c d": []})
        file = tmp_path / "voc_train.txt"
        file.write_text("\n".join(lines))
        return {"meta_file": file, "img_path": root / "JPEGImages", "classes": classes}

    return write


def test_it_is_what_voc_says(meta, tmp_path):
    dataset = GNetMeta(**meta("a.jpg 3 4 12 9 1", "b.jpg 1 1 32 24 0", "c d.jpg"))
    assert dataset.annotations() == VOCFromImage(tmp_path / "voc", "train").annotations()
    sample = dataset[0]
    assert sample["gt_bboxes"].tolist() == [[2, 3, 12, 9]]
    assert (sample["gt_classes"].tolist(), sample["img_id"], sample["img_name"]) == ([1], 1, "a.jpg")
    assert dataset[2]["gt_bboxes"].shape == (0, 4)
    assert not dataset.report


def test_boxes_are_cleaned_as_elsewhere(meta):
    dataset = GNetMeta(**meta("a.jpg 5 5 5 5 0 0 0 33 25 1"))
    assert dataset.record(0).boxes.tolist() == [[0, 0, 32, 24]]
    assert dataset.report.counts == {DROPPED: 1, CLIPPED: 1}


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("a.jpg 1 2 3 4", r"voc_train.txt:2: 4 numbers stand behind a.jpg, and an object has five"),
        ("a.jpg 3 4 12 9 2", r"voc_train.txt:2: an object of a.jpg has class 2, and classes has 2 names, 0…1\."),
        ("a.jpg 3 4 12 9 -1", r"voc_train.txt:2: an object of a.jpg has class -1, and classes has 2 names, 0…1\."),
        (
            "a.jpg 12 4 3 9 1",
            r"voc_train.txt:2: a.jpg: the box of 'dog' \(xmin 12, .* xmax 3, .* ends before it begins",
        ),
        ("a.jpg 3 4 40 9 1", r"voc_train.txt:2: a.jpg: the box of 'dog' .* reaches beyond the image of 32×24"),
        ("e.jpg 3 4 12 9 1", r"voc_train.txt:2: image e.jpg is missing in .*JPEGImages"),
        ("b.jpg 3 4 12 9 1", r"voc_train.txt:2: image b.jpg has a line before, 1; leave one of them"),
    ],
)
def test_a_bad_line_is_told_with_its_number(meta, line, sentence):
    with pytest.raises(DataError, match=sentence):
        GNetMeta(**meta("b.jpg 1 1 32 24 0", line))


def test_a_box_is_looked_at_where_its_class_is_wrong(meta):
    with pytest.raises(
        DataError, match=r"(?s)2 problems:\n- .*:1: an object of a.jpg has .*\n- .*'class 7' .* ends bef"
    ):
        GNetMeta(**meta("a.jpg 12 4 3 9 7"))


def test_all_problems_are_told_together(meta):
    with pytest.raises(
        DataError, match=r"(?s)The metadata have 3 problems:\n- .*:2: .*\n- .*:1: image e.*\n- .*:3: an"
    ):
        GNetMeta(**meta("e.jpg 3 4 12 9 1", "a.jpg 3 4", "a.jpg 3 4 12 9 7"))


def test_more_classes_than_the_chip_has_room_for_are_refused(meta):
    with pytest.raises(DataError, match=r"GNetMeta: there are 256 classes; GNetDet takes up to 245"):
        GNetMeta(**meta("a.jpg 3 4 12 9 1", classes=[f"c{number}" for number in range(256)]))


def test_a_missing_folder_is_named(meta, tmp_path):
    with pytest.raises(DataNotFoundError, match=r"the image folder is expected at .*nowhere"):
        GNetMeta(**meta("a.jpg 3 4 12 9 1") | {"img_path": tmp_path / "nowhere"})
