import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from hatlite.data import set_epoch
from hatlite.data.datasets.voc import VOCFromImage
from hatlite.data.datasets.wrappers import ConcatDataset
from hatlite.data.transforms import MixUp, Mosaic, RandomFlip
from hatlite.errors import BuildError, ConfigError
from hatlite.registry import OBJECT_REGISTRY

SIDE = st.integers(1, 40)


def plain(height, width, colour, boxes=None, classes=None):
    """A picture of one colour, with a box around all of it."""
    boxes = np.array([[0, 0, width, height]] if boxes is None else boxes, np.float32).reshape(-1, 4)
    return {
        "img": np.full((height, width, 3), colour, np.uint8),
        "gt_bboxes": boxes,
        "gt_classes": np.array([colour] * len(boxes) if classes is None else classes, np.int64),
        "img_id": colour,
        "img_name": f"{colour}.jpg",
        "matrix": np.eye(3),
    }


def test_a_mosaic_by_hand(rng):
    # The point is x = 8, y = 4. The first picture is halved, the second fits, the third grows from 2 × 6 to 3 × 8 (2.67
    # rounded), the fourth fits.
    samples = [
        plain(8, 12, 1, [[2, 2, 12, 8]]),
        plain(4, 8, 2, [[4, 0, 8, 4]]),
        plain(2, 6, 3, [[0, 0, 3, 2]], classes=[-1]),
        plain(4, 2, 4, []),
    ]
    out = Mosaic((4, 8), (1.0, 1.0)).join(samples, rng)
    rows = [[114, 114, *[1] * 6, *[2] * 8]] * 4
    rows += [[*[3] * 8, 4, 4, *[114] * 6]] * 3 + [[*[114] * 8, 4, 4, *[114] * 6]]
    np.testing.assert_array_equal(out["img"][..., 0], rows)
    np.testing.assert_array_equal(out["gt_bboxes"], [[3, 1, 8, 4], [12, 0, 16, 4], [0, 4, 4, 7]])
    np.testing.assert_array_equal(out["gt_classes"], [1, 2, -1])
    np.testing.assert_array_equal(out["matrix"], [[0.5, 0, 2], [0, 0.5, 0], [0, 0, 1]])
    assert (out["img_id"], out["gt_bboxes"].dtype, out["gt_classes"].dtype) == (1, np.float32, np.int64)


def test_what_hangs_over_is_cut_off(rng):
    # The point is x = 3, y = 2: of each upper picture 2 rows are seen, of each left one 3 columns.
    out = Mosaic((4, 6), (0.5, 0.5), min_iou=0.26).join([plain(4, 6, colour) for colour in (1, 2, 3, 4)], rng)
    assert (out["img"][:2, :3] == 1).all() and (out["img"][:2, 3:9] == 2).all()
    assert (out["img"][2:6, :3] == 3).all() and (out["img"][2:6, 3:9] == 4).all()
    np.testing.assert_array_equal(out["gt_bboxes"], [[3, 0, 9, 2], [0, 2, 3, 6], [3, 2, 9, 6]])  # 1 kept a quarter
    np.testing.assert_array_equal(out["gt_classes"], [2, 3, 4])


@settings(max_examples=60)
@given(st.lists(st.tuples(SIDE, SIDE), min_size=4, max_size=4), SIDE, SIDE, st.integers(0, 2**16))
def test_every_box_is_where_its_picture_is(sizes, height, width, seed):
    samples = [plain(*size, colour) for colour, size in enumerate(sizes, 1)]
    mosaic = Mosaic((height, width), (0.0, 2.0), min_area=0, min_iou=0)
    out = mosaic.join(samples, np.random.default_rng(seed))
    assert out["img"].shape == (2 * height, 2 * width, 3)
    found = {}
    for colour in np.unique(out["img"]):
        ys, xs = np.nonzero(out["img"][..., 0] == colour)
        assert colour == 114 or len(ys) == (ys.max() + 1 - ys.min()) * (xs.max() + 1 - xs.min())
        found[int(colour)] = [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]
    found.pop(114, None)
    boxes = dict(zip(out["gt_classes"].tolist(), out["gt_bboxes"].tolist(), strict=True))
    assert boxes == found
    again = mosaic.join(samples, np.random.default_rng(seed))
    np.testing.assert_array_equal(out["img"], again["img"])
    assert all((sample["img"] == colour).all() for colour, sample in enumerate(samples, 1))  # none was written into


class Half:
    """Draws one half from every beta distribution."""

    def beta(self, a, b):
        return 0.5


def test_a_mixture_by_hand():
    out = MixUp(pad_val=10).join([plain(2, 1, 7), plain(1, 2, 100)], Half())
    np.testing.assert_array_equal(out["img"][..., 0], [[54, 55], [9, 10]])  # 53.5, 55; 8.5, 10: rounded half up
    np.testing.assert_array_equal(out["gt_bboxes"], [[0, 0, 1, 2], [0, 0, 2, 1]])
    np.testing.assert_array_equal(out["gt_classes"], [7, 100])
    assert out["img_id"] == 7


@given(st.integers(0, 255), st.integers(0, 255), st.floats(0.01, 50), st.integers(0, 2**16))
def test_a_mixture_lies_between_its_pictures(own, other, alpha, seed):
    samples = [plain(3, 2, own), plain(2, 3, other)]
    out = MixUp(alpha).join(samples, np.random.default_rng(seed))
    both = out["img"][:2, :2]
    assert (both == both[0, 0, 0]).all()
    assert min(own, other) <= both[0, 0, 0] <= max(own, other)
    np.testing.assert_array_equal(out["gt_bboxes"], [[0, 0, 2, 3], [0, 0, 3, 2]])


DOG, CAT = ("dog", (3, 4, 12, 9)), ("cat", (1, 2, 10, 12))


@pytest.fixture
def pictures(write_voc):
    return write_voc({"a": [DOG], "b": [], "c": [CAT, DOG], "d": [CAT], "e": [DOG]})


def build(pictures, transforms, **more):
    dataset = VOCFromImage(pictures, "train", transforms)
    return OBJECT_REGISTRY.build(
        {"type": DataLoader, "dataset": dataset, "batch_size": 1, "shuffle": True, "seed": 3, **more}
    )


def drawn(loader, epoch, start=0):
    set_epoch(loader, epoch, start)
    return [(batch["img_id"], batch["img"][0].clone(), batch["gt_bboxes"][0].clone()) for batch in loader]


def assert_same(left, right):
    assert [ids for ids, _, _ in left] == [ids for ids, _, _ in right]
    assert all(torch.equal(a, b) and torch.equal(c, d) for (_, a, c), (_, b, d) in zip(left, right, strict=True))


def joining():
    to_tensor = OBJECT_REGISTRY.build({"type": "ToTensor"})
    mosaic = OBJECT_REGISTRY.build({"type": "Mosaic", "img_scale": (16, 20), "stop_epoch": 2})
    return [RandomFlip(), mosaic, MixUp(prob=0.5, stop_epoch=1), to_tensor]


def test_joined_samples_depend_on_seed_epoch_and_index_alone(pictures):
    one, two = build(pictures, joining()), build(pictures, joining(), num_workers=2)
    for epoch in (0, 1, 2):
        whole = drawn(one, epoch)
        assert_same(whole, drawn(two, epoch))
        assert_same(whole[3:], drawn(build(pictures, joining()), epoch, start=3))  # resumed inside the epoch
    assert not torch.equal(drawn(one, 0)[0][1], drawn(one, 1)[0][1])


def test_the_last_epochs_are_of_single_pictures(pictures):
    loader = build(pictures, joining())
    assert [tuple(img.shape) for _, img, _ in drawn(loader, 1)] == [(3, 32, 40)] * 5
    assert all(img.shape != (3, 32, 40) and len(boxes) <= 2 for _, img, boxes in drawn(loader, 2))


def test_the_probability_leaves_some_as_they_are(pictures):
    dataset = VOCFromImage(pictures, "train", [Mosaic((16, 20), prob=0.5)])
    shapes = [dataset.get(0, np.random.default_rng(seed))["img"].shape for seed in range(40)]
    assert 8 < sum(shape == (32, 40, 3) for shape in shapes) < 32


def test_a_wrapper_draws_from_all_its_parts_and_tells_them_the_epoch(pictures):
    parts = [VOCFromImage(pictures, "train", [Mosaic((16, 20), stop_epoch=1)]) for _ in range(2)]
    seen = []
    spy = MixUp(prob=1.0)
    spy.join = lambda samples, rng: seen.append(samples[1]["img"].shape) or samples[0]
    dataset = ConcatDataset(parts, [spy])
    begun = []
    dataset.begin = lambda index, rng: begun.append(index) or ConcatDataset.begin(dataset, index, rng)
    for seed in range(30):
        dataset.get(0, np.random.default_rng(seed))
    assert set(seen) == {(32, 40, 3)}
    assert {index for index in begun if index} > {3, 7}
    dataset.set_epoch(1)
    dataset.get(0, np.random.default_rng(0))
    assert seen[-1] != (32, 40, 3)


def test_a_data_set_that_hands_over_one_picture_is_told(rng):
    with pytest.raises(
        ConfigError, match=r"MixUp joins several pictures and was given one, 5\.jpg; put MixUp into the"
    ):
        MixUp()(plain(2, 2, 5), rng)


@pytest.mark.parametrize(
    ("build_it", "message"),
    [
        (lambda: Mosaic((0, 4)), "Mosaic: img_scale is"),
        (lambda: Mosaic((4, 4), (0.5, 2.5)), r"Mosaic: center_ratio_range is \(0\.5, 2\.5\); expected \(low, high\)"),
        (lambda: Mosaic((4, 4), (1.5, 0.5)), "Mosaic: center_ratio_range is"),
        (lambda: Mosaic((4, 4), (1.0,)), "Mosaic: center_ratio_range is"),
        (lambda: Mosaic((4, 4), prob=1.5), "Mosaic: prob is 1.5"),
        (lambda: Mosaic((4, 4), stop_epoch=-1), "Mosaic: stop_epoch is -1; expected an epoch, 0 or above, or None"),
        (lambda: Mosaic((4, 4), pad_val=256), "Mosaic: pad_val is 256; expected a whole number in 0…255"),
        (lambda: MixUp(0), "MixUp: alpha is 0; expected a number above 0"),
        (lambda: MixUp(pad_val=-1), "MixUp: pad_val is -1"),
    ],
)
def test_arguments_out_of_range_are_refused(build_it, message):
    with pytest.raises(BuildError, match=message):
        build_it()


def test_the_mosaic_has_two_names():
    assert OBJECT_REGISTRY.get("DetMosaic") is Mosaic
