import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hatlite.data import Collate2D
from hatlite.errors import ConfigError, DataError
from hatlite.registry import OBJECT_REGISTRY


def sample(name="a.jpg", boxes=1, height=2, width=3, **more):
    return {
        "img": torch.full((3, height, width), float(boxes)),
        "gt_bboxes": np.arange(boxes * 4, dtype=np.float32).reshape(boxes, 4),
        "gt_classes": np.arange(boxes),
        "img_name": name,
        "matrix": np.eye(3),
        **more,
    }


def test_a_batch_by_hand():
    batch = OBJECT_REGISTRY.build({"type": "Collate2D"})([sample("a.jpg", 2), sample("b.jpg", 0)])
    assert batch["img"].shape == (2, 3, 2, 3)
    assert batch["img"][:, 0, 0, 0].tolist() == [2, 0]
    assert batch["gt_bboxes"][0].tolist() == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert batch["gt_classes"][0].tolist() == [0, 1]
    assert batch["img_name"] == ["a.jpg", "b.jpg"]
    assert [m.shape for m in batch["matrix"]] == [(3, 3), (3, 3)]


@given(st.lists(st.integers(0, 5), min_size=1, max_size=5))
def test_shapes_and_dtypes(counts):
    batch = Collate2D()([sample(boxes=count) for count in counts])
    assert [b.shape for b in batch["gt_bboxes"]] == [(count, 4) for count in counts]
    assert [c.shape for c in batch["gt_classes"]] == [(count,) for count in counts]
    assert {b.dtype for b in batch["gt_bboxes"]} == {torch.float32}
    assert {c.dtype for c in batch["gt_classes"]} == {torch.int64}


def test_the_batch_owns_its_boxes():
    one = sample()
    batch = Collate2D()([one])
    batch["gt_bboxes"][0].zero_()
    assert one["gt_bboxes"].any()


def test_pictures_without_boxes_are_enough():
    assert set(Collate2D()([{"img": torch.zeros(3, 2, 2)}])) == {"img"}


def test_two_sizes_are_named():
    text = r"image a.jpg is 2×3 and image b.jpg is 4×5 \(height × width\), .* RandomCrop and Pad"
    with pytest.raises(DataError, match=text):
        Collate2D()([sample("a.jpg"), sample("b.jpg", height=4, width=5)])


@pytest.mark.parametrize(("key", "place"), [("gt_classes", 0), ("gt_bboxes", 1), ("img", 0)])
def test_a_missing_key_is_named(key, place):
    samples = [sample("a.jpg"), sample("b.jpg")]
    del samples[place][key]
    with pytest.raises(DataError, match=rf"image {'ab'[place]}.jpg lacks {key}; all samples"):
        Collate2D()(samples)


def test_an_array_is_no_tensor():
    with pytest.raises(ConfigError, match=r"image a.jpg is of type ndarray; expected a tensor. Put ToTensor"):
        Collate2D()([sample(img=np.zeros((2, 2, 3), np.uint8))])
