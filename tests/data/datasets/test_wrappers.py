import numpy as np
import pytest

from hatlite.data.datasets.voc import VOCFromImage
from hatlite.data.datasets.wrappers import BatchTransformDataset, ConcatDataset, RepeatDataset, ResampleDataset
from hatlite.data.transforms import Mosaic
from hatlite.data.worker import SeededDataset
from hatlite.errors import DataError
from hatlite.registry import OBJECT_REGISTRY

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
    with pytest.raises(DataError, match=r"Two images of the data set have the id 1; .* Evaluate one data set alone"):
        ConcatDataset(two).annotations()


def test_repeat_needs_a_count(two):
    with pytest.raises(DataError, match="RepeatDataset: times is 0; expected at least 1"):
        RepeatDataset(two[0], 0)


def test_concat_needs_a_part():
    with pytest.raises(DataError, match="ConcatDataset: datasets is empty"):
        ConcatDataset([])


def test_concat_needs_the_same_classes(two):
    other = VOCFromImage(two[0]._folder.parent, "train", classes=["dog", "cat"], allow_absent_classes=True)
    with pytest.raises(DataError, match=r"ConcatDataset: only datasets\[1\] has 'cat'; a label would mean two things"):
        ConcatDataset([two[0], other])


def test_resample_takes_every_other_image(two):
    dataset = ResampleDataset(ConcatDataset(two), 2, [mark("second")])
    assert [dataset.load(i)["img_name"] for i in range(len(dataset))] == ["a.jpg", "b.jpg"]
    assert dataset.locate(-1) == (dataset.dataset, 2)
    assert dataset[0]["marks"] == ["first", "second"]
    with pytest.raises(DataError, match="ResampleDataset: resample_interval is 0; expected at least 1"):
        ResampleDataset(two[0], 0)


def test_the_transforms_change_with_the_epoch(two):
    dataset = BatchTransformDataset(RepeatDataset(two[0], 2), [[mark("a")], [mark("b")], []], [2, 3])
    seeded = SeededDataset(dataset, 0)
    seen = [seeded[epoch, 1]["marks"] for epoch in range(5)]
    assert seen == [["first", "a"], ["first", "a"], ["first", "b"], ["first"], ["first"]]
    assert len(dataset) == 4
    assert dataset.annotations() == two[0].annotations()


def test_pictures_are_joined_until_the_list_without_joining_takes_over(two):
    seeded = SeededDataset(BatchTransformDataset(two[0], [[Mosaic((10, 10))], []], [3]), 0)
    assert [seeded[epoch, 0]["img"].shape for epoch in range(5)] == [(20, 20, 3)] * 3 + [(24, 32, 3)] * 2


def test_the_lists_are_built_from_a_config(write_voc):
    root = write_voc({"a": [DOG]})
    mosaic = {"type": "DetMosaic", "img_scale": (32, 32)}
    last = [{"type": "Resize", "img_scale": (32, 32)}, {"type": "Pad", "size": (32, 32)}]
    cfg = {
        "type": "BatchTransformDataset",
        "dataset": {"type": "VOCFromImage", "data_path": str(root), "split": "train"},
        "transforms_cfgs": [[mosaic, {"type": "DetMixUp", "prob": 1.0}], last],
        "epoch_steps": [285],
    }
    seeded = SeededDataset(OBJECT_REGISTRY.build(cfg), 0)
    assert [seeded[epoch, 0]["img"].shape for epoch in (284, 285)] == [(64, 64, 3), (32, 32, 3)]


@pytest.mark.parametrize(
    ("lists", "steps", "text"),
    [
        ([[]], [3], "1 lists of transforms_cfgs stand beside 1 epoch_steps; expected one list more than steps"),
        ([[], [], []], [3, 3], r"epoch_steps is \[3, 3\]; expected rising epochs, the first above 0"),
        ([[], []], [0], r"epoch_steps is \[0\]; expected rising epochs"),
    ],
)
def test_lists_and_epochs_that_do_not_fit_are_refused(two, lists, steps, text):
    with pytest.raises(DataError, match=f"BatchTransformDataset: {text}"):
        BatchTransformDataset(two[0], lists, steps)
