import numpy as np
import pytest

from hatlite.data.datasets.voc import VOCFromImage
from hatlite.data.datasets.wrappers import ConcatDataset, RepeatDataset
from hatlite.errors import DataError

DOG = ("dog", (3, 4, 12, 9))


def mark(name):
    return lambda sample, rng: sample | {"marks": [*sample.get("marks", []), name]}


@pytest.fixture
def two(write_voc):
    root = write_voc({"a": [DOG], "b": []})
    (root / "ImageSets/Main/one.txt").write_text("b\n")
    return VOCFromImage(root, "train", [mark("first")]), VOCFromImage(root, "one")


def test_repeat_repeats(two):
    dataset = RepeatDataset(two[0], 3, [mark("second")])
    assert len(dataset) == 6
    assert [dataset[i]["img_name"] for i in range(6)] == ["a.jpg", "b.jpg"] * 3
    assert dataset.get(4, np.random.default_rng(0))["marks"] == ["first", "second"]
    assert dataset.record(4).name == dataset.read(2)[0].name == "a.jpg"
    assert dataset.annotations() == two[0].annotations()
    assert dataset.classes == ["dog"]


def test_an_index_beyond_the_end_ends_iteration(two):
    assert len(list(RepeatDataset(two[0], 2))) == 4
    assert len(list(ConcatDataset(two))) == 3


def test_concat_joins(two):
    dataset = ConcatDataset(two)
    assert [dataset.load(i)["img_name"] for i in range(3)] == ["a.jpg", "b.jpg", "b.jpg"]
    assert dataset[-1].get("marks") is None
    assert dataset[0]["marks"] == ["first"]


def test_concat_with_repeated_ids_cannot_be_evaluated(two):
    with pytest.raises(DataError, match="Two images of the data set have the id 1"):
        ConcatDataset(two).annotations()


def test_repeat_needs_a_count(two):
    with pytest.raises(DataError, match="RepeatDataset: times is 0; expected at least 1"):
        RepeatDataset(two[0], 0)


def test_concat_needs_a_part():
    with pytest.raises(DataError, match="ConcatDataset: datasets is empty"):
        ConcatDataset([])


def test_concat_needs_the_same_classes(two):
    other = VOCFromImage(two[0]._folder.parent, "train", classes=["dog", "cat"])
    with pytest.raises(DataError, match=r"datasets\[1\] has the classes \['dog', 'cat'\] where"):
        ConcatDataset([two[0], other])
