import copy

import numpy as np
import pytest
from spots import spot_config

from hatlite.data.image import read_image
from hatlite.engine import Run, browse_dataset
from hatlite.engine.browsing import _picture
from hatlite.errors import ConfigError, StageError
from hatlite.registry import OBJECT_REGISTRY

ORANGE = (230, 159, 0)  # of class 1, a spot


@pytest.fixture
def config(tmp_path):
    (tmp_path / "data").mkdir()
    return spot_config(tmp_path / "data")


def training_with(config, *transforms):
    """Give the calibration's training data further transforms, first."""
    loader = copy.deepcopy(config["data_loader"])
    loader["dataset"]["transforms"] = [*transforms, *loader["dataset"]["transforms"]]
    config["calibration_trainer"]["data_loader"] = loader
    return Run(config)


def test_pictures_stand_as_loaded_and_as_the_network_gets_them(config, tmp_path):
    found = browse_dataset(Run(config), "float", "val", tmp_path / "out", count=2)
    assert [path.name for path, _ in found] == ["00000_1.jpg", "00001_2.jpg", "contact_sheet.jpg"]
    assert [text for _, text in found] == [
        "1.png: 32×48 with spot 1 → 24×24 with spot 1",
        "2.png: 32×48 with spot 1 → 24×24 with spot 1",
        "the first 2",
    ]
    picture = read_image(found[0][0])
    left, right = picture[:, : 48 * 14], picture[:, 48 * 14 + 20 :]
    for half in (left, right):
        assert (abs(half.astype(int) - ORANGE).sum(axis=2) < 60).sum() > 500
    assert (right > 240).all(axis=2).sum() > 4000  # the spot is white again, once Normalize is undone


def test_epochs_are_those_of_training(config, tmp_path):
    run = training_with(config, {"type": "RandomFlip", "px": 0.5, "py": 0.5})
    options = {"indices": [2], "epochs": 4}
    first, again, other = (
        browse_dataset(run, "calibration", "train", tmp_path / name, seed=seed, **options)[0]
        for name, seed in (("a", None), ("b", None), ("c", 5))
    )
    assert first[0].read_bytes() == again[0].read_bytes() != other[0].read_bytes()
    assert first[1].count("→") == 4
    dataset = OBJECT_REGISTRY.build(run.config["calibration_trainer"]["data_loader"]).dataset
    assert len({str(dataset[epoch, 2]["gt_bboxes"]) for epoch in range(4)}) > 1  # it did flip


@pytest.mark.parametrize(
    "steps",
    [
        [{"type": "ToTensor", "to_yuv": True}],
        [{"type": "ToYUV"}, {"type": "ToTensor"}],
        [{"type": "ToTensor", "to_bgr": True}],
    ],
)
def test_colours_come_back(steps):
    rng = np.random.default_rng(0)
    img = rng.integers(0, 256, (6, 8, 3), np.uint8)
    steps = [*steps, {"type": "Normalize", "mean": [1.0, 2.0, 3.0], "std": [4.0, 5.0, 6.0]}]
    transforms = [OBJECT_REGISTRY.build(step) for step in steps]
    sample = {"img": img, "gt_bboxes": np.empty((0, 4)), "gt_classes": np.empty(0), "matrix": np.eye(3)}
    for transform in transforms:
        sample = transform(sample, rng)
    assert abs(_picture(sample["img"], transforms).astype(int) - img).max() <= 1
    assert _picture(img, []) is img  # nothing made a tensor of it


FIVE_BITS = ({"type": "ToTensor", "to_bgr": True}, {"type": "QuantizePixels", "bits": 5})


def test_five_bits_look_like_the_picture():
    rng = np.random.default_rng(0)
    img = rng.integers(0, 256, (6, 8, 3), np.uint8)
    transforms = [OBJECT_REGISTRY.build(one) for one in FIVE_BITS]
    sample = {"img": img, "gt_bboxes": np.empty((0, 4)), "gt_classes": np.empty(0), "matrix": np.eye(3)}
    for transform in transforms:
        sample = transform(sample, rng)
    assert sample["img"].max() <= 31
    shown = _picture(sample["img"], transforms).astype(int)
    np.testing.assert_array_equal(shown, np.minimum((img.astype(int) + 4) // 8 * 8, 248))


def test_transforms_of_inner_data_sets_count(config, tmp_path):
    loader = copy.deepcopy(config["val_data_loader"])
    loader["dataset"] = {"type": "RepeatDataset", "times": 2, "dataset": loader["dataset"]}
    config["calibration_trainer"]["data_loader"] = loader
    plain = browse_dataset(Run(config), "float", "val", tmp_path / "a", count=1)
    repeated = browse_dataset(Run(config), "calibration", "train", tmp_path / "b", indices=[3])
    assert read_image(repeated[0][0]).shape == read_image(plain[0][0]).shape
    assert np.array_equal(read_image(repeated[0][0]), read_image(plain[0][0]))


def test_a_data_set_that_only_gives_finished_samples(tiny_config, tmp_path):
    tiny_config["data_loader"] |= {"batch_size": 100, "drop_last": True, "num_workers": 1}  # fewer than a batch
    found = browse_dataset(Run(tiny_config), "float", "train", tmp_path, count=1, epochs=2)
    assert found[0][1] == "0.jpg: 8×8 with cat 1 → 8×8 with cat 1"


def test_what_there_is_not_is_told_and_nothing_is_written(config, tmp_path):
    run, out = Run(config), tmp_path / "out"
    with pytest.raises(ConfigError, match="The data set has no picture 3; it has 3, counted from 0"):
        browse_dataset(run, "float", "val", out, indices=[0, 3])
    with pytest.raises(
        ConfigError,
        match=r"config\['float_trainer'\]\['data_loader'\] is missing, the data of the split 'train' in stage 'float';"
        r" stages with data to train on: calibration\.",
    ):
        browse_dataset(run, "float", "train", out)
    with pytest.raises(StageError, match="There is no stage 'flaot'"):
        browse_dataset(run, "flaot", "val", out)
    assert not out.exists()
