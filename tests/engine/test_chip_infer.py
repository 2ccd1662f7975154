"""A chip model without config and run: the pixels that enter, the boxes that come out, and the time it took."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from grid_spots import SIDE, spot_picture, spot_program

from hatlite import program
from hatlite.analysis import DetViz
from hatlite.engine import ChipDetector, ChipSession, ChipSettings
from hatlite.engine.chip_settings import THRESHOLDS
from hatlite.errors import BuildError, ConfigError, DataError, ProgramError

RED = (255, 0, 0)


@pytest.fixture
def saved(tmp_path):
    """Return ``saved(**metadata) -> path`` of a model."""

    def call(**metadata) -> Path:
        program.save(spot_program(**metadata), tmp_path / "spots.hbir")
        return tmp_path / "spots.hbir"

    return call


def entering(detector: ChipDetector, img: np.ndarray) -> np.ndarray:
    """Return the (3, H, W) values that the network of `detector` gets of `img`."""
    seen = []
    detector.model.network.register_forward_pre_hook(lambda network, inputs: seen.append(inputs[0]))
    detector(img)
    return seen[0][0].numpy()


@pytest.mark.parametrize(("height", "width"), [(28, 28), (14, 140), (280, 42)])
def test_the_middle_of_a_stretched_picture_is_the_middle_of_the_picture(saved, height, width):
    found = ChipDetector(saved(), ChipSettings())(spot_picture((7, 7, RED), height=height, width=width))
    box = found.boxes[0].reshape(2, 2).numpy()
    np.testing.assert_allclose(box.mean(axis=0), [width * 7.5 / 14, height * 7.5 / 14], rtol=1e-5)
    np.testing.assert_allclose(box[1] - box[0], [width / 4, height / 4], rtol=1e-5)


def test_a_picture_that_keeps_its_shape_is_filled_up(saved):
    detector = ChipDetector(saved(letterbox=[0, 0, 0]), ChipSettings())
    found = detector(spot_picture((7, 7, RED), height=56, width=112))
    box = found.boxes[0].reshape(2, 2).numpy()  # 112×112 pixels enter, the lower half of them black
    assert box[0, 0] < 7.5 * 8 < box[1, 0] and box[0, 1] < 7.5 * 4 < box[1, 1]
    np.testing.assert_allclose(box[1] - box[0], [28, 28], rtol=1e-5)
    red = np.full((14, 28, 3), (255, 0, 0), np.uint8)
    pixels = entering(ChipDetector(saved(letterbox=[80, 160, 240]), ChipSettings()), red)
    assert pixels[:, 13, 5].tolist() == [0, 0, 31] and pixels[:, 14, 5].tolist() == [30, 20, 10]


@pytest.mark.parametrize("order", ["BGR", "RGB", "YUV"])
def test_pixels_enter_as_opencv_and_the_formula_of_five_bits_make_them(saved, order):
    img = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), np.uint8)
    expected = {"RGB": img, "BGR": img[..., ::-1], "YUV": cv2.cvtColor(img, cv2.COLOR_RGB2YCrCb)}[order].astype(int)
    pixels = entering(ChipDetector(saved(image_format=order), ChipSettings()), img).transpose(1, 2, 0)
    assert set(np.unique(pixels)) <= set(range(32))
    levels = [np.minimum(31, (expected + near) // 8) for near in ((4,) if order != "YUV" else (3, 4, 5))]
    assert np.logical_or.reduce([pixels == one for one in levels]).all()  # OpenCV's YCrCb is rounded otherwise by 1


def test_thresholds_come_from_the_command_then_the_model_then_the_usual(saved):
    usual = ChipDetector(saved(), ChipSettings()).model.post_process
    assert (usual.conf_thresh, usual.score_threshold, usual.iou_threshold) == tuple(THRESHOLDS.values())
    own = saved(thresholds={"conf_thresh": 0.2, "nms_thresh": 0.3})
    said = ChipSettings({"OPTS.CONF_THRESH": 0.7}, {"OPTS.CONF_THRESH": "--conf-thresh"})
    mixed = ChipDetector(own, said).model.post_process
    assert (mixed.conf_thresh, mixed.score_threshold, mixed.iou_threshold) == (0.7, 0.5, 0.3)


def test_what_is_said_must_agree_with_the_model(saved):
    with pytest.raises(ConfigError, match=r"^--x is 448, but .*spots\.hbir takes images of 28×28"):
        ChipDetector(saved(), ChipSettings({"MODEL.INPUT.SIZE": 448}, {"MODEL.INPUT.SIZE": "--x"}))


def test_files_that_are_no_model(saved, tmp_path):
    with pytest.raises(ProgramError, match=r"^There is no model none\.model; tools/convert_to_chip\.py writes out"):
        ChipDetector(Path("none.model"), ChipSettings())
    path = tmp_path / "x.pth.tar"
    path.touch()
    with pytest.raises(
        ProgramError, match=r"x\.pth\.tar is no chip model by its name; expected out\.model, which tools/con"
    ):
        ChipDetector(path, ChipSettings())
    path = saved()
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(ProgramError, match=r"spots\.hbir.*truncated|spots\.hbir.*damaged"):
        ChipDetector(path, ChipSettings())


def test_time_is_counted_where_work_is_done(saved, tmp_path):
    session = ChipSession(ChipDetector(saved(), ChipSettings()), DetViz(0.0))
    assert session.rates().startswith("chip 0.0 images/s (")
    cv2.imwrite(str(tmp_path / "a.png"), spot_picture((1, 1, RED)))
    ((file, found),) = session.pictures([tmp_path / "a.png"], [tmp_path / "b.png"])
    assert (file.name, len(found)) == ("a.png", 1) and (tmp_path / "b.png").is_file()
    assert 0 < session.detector.chip.seconds < session.work.seconds and session.detector.detected == 1


def test_a_picture_that_is_none_is_found_before_anything_is_written(saved, tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), spot_picture())
    (tmp_path / "b.png").write_bytes(b"no image")
    files = [tmp_path / "a.png", tmp_path / "b.png"]
    session = ChipSession(ChipDetector(saved(), ChipSettings()), DetViz(0.0))
    with pytest.raises(DataError, match=r"b\.png \(8 bytes\) cannot be decoded"):
        next(session.pictures(files, [tmp_path / "out_a.png", tmp_path / "out_b.png"]))
    assert not (tmp_path / "out_a.png").exists()


def test_a_program_of_another_detector(saved):
    path = saved()
    loaded = program.load(path)
    port = loaded.outputs[0].__class__("bbox_s2", "out", "uint8", 1 / 32, stride=2)
    program.save(loaded.__class__("fcos", loaded.march, loaded.inputs, (port,), loaded.ops, loaded.values), path)
    with pytest.raises(BuildError, match="the program 'fcos' has the outputs bbox_s2; expected one, predictions_s32"):
        ChipDetector(path, ChipSettings())
