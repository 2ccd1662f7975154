"""Videos as pictures: what is written is read, and each way to fail is one sentence."""

import logging
from pathlib import Path

import cv2
import numpy as np
import pytest

from hatlite.data.video import VideoReader, video_file
from hatlite.errors import DataError, DataNotFoundError, OutputError


def grey(level: int, size: tuple[int, int] = (48, 64)) -> np.ndarray:
    return np.full((*size, 3), level % 256, np.uint8)


def written(path: Path, count: int = 4, rate: float = 12.5) -> Path:
    with video_file(path, rate) as write:
        for i in range(count):
            write(grey(60 * i))
    return path


@pytest.mark.parametrize("name", ["a.mp4", "a.avi", "A.MP4"])
def test_pictures_and_rate_come_back(tmp_path, name):
    with VideoReader(written(tmp_path / name)) as video:
        assert (video.rate, video.count) == (12.5, 4)
        means = [float(img.mean()) for img in video]
    assert means == pytest.approx([0, 60, 120, 180], abs=4)  # a codec loses some
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_colours_are_rgb(tmp_path):
    red = np.zeros((48, 64, 3), np.uint8)
    red[..., 0] = 220
    with video_file(tmp_path / "a.avi", 10) as write:
        write(red)
    with VideoReader(tmp_path / "a.avi") as video:
        (img,) = video
    assert img[..., 0].mean() > 200 and img[..., 1:].mean() < 20


def test_an_odd_side_loses_a_pixel(tmp_path):
    with video_file(tmp_path / "a.mp4", 10) as write:
        write(grey(9, (47, 63)))
    with VideoReader(tmp_path / "a.mp4") as video:
        assert next(iter(video)).shape == (46, 62, 3)


def test_an_error_leaves_no_file(tmp_path):
    sizes = pytest.raises(DataError, match=r"pictures of 64×48 \(width×height\), and gets one of 32×48")
    with sizes, video_file(tmp_path / "a.mp4", 10) as write:
        write(grey(1))
        write(grey(1, (48, 32)))
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"file/a\.mp4 cannot be written \(File exists\)"):
        written(tmp_path / "file" / "a.mp4")
    small = pytest.raises(OutputError, match=r"a\.mp4 cannot be written as a video of 1×1 \(width×height\)")
    with small, video_file(tmp_path / "a.mp4", 10) as write:
        write(grey(1, (1, 1)))


def test_a_name_that_is_not_there_has_a_near_one(tmp_path):
    written(tmp_path / "cells.mp4")
    with pytest.raises(DataNotFoundError, match=r"cell\.mp4 does not exist(.|\n)*Did you mean 'cells\.mp4'\?"):
        VideoReader(tmp_path / "cell.mp4")


@pytest.mark.parametrize("keep", [0, 20, -200])
def test_a_damaged_file(tmp_path, keep, capfd):
    path = written(tmp_path / "a.mp4")
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(DataError, match=r"^video .*a\.mp4 cannot be opened; expected a whole \.mp4 or \.avi file\.$"):
        VideoReader(path)
    assert capfd.readouterr() == ("", "")  # FFmpeg says nothing beside the sentence


def test_a_camera_that_is_not_there(capfd):
    with pytest.raises(DataError, match="^camera 97 cannot be opened; name a camera that is there"):
        VideoReader(97)
    assert capfd.readouterr() == ("", "")


class Capture:
    """What OpenCV gives for a source that says little of itself and has few pictures."""

    def __init__(self, pictures: int, count: float) -> None:
        self.pictures, self.count = pictures, count

    def isOpened(self):
        return True

    def get(self, key):
        return self.count if key == cv2.CAP_PROP_FRAME_COUNT else 0.0

    def read(self):
        self.pictures -= 1
        return (True, grey(self.pictures)) if self.pictures >= 0 else (False, None)

    def release(self):
        self.count = None


def test_a_camera_without_a_rate(monkeypatch):
    capture = Capture(0, -1.0)
    monkeypatch.setattr(cv2, "VideoCapture", lambda number: capture)
    with VideoReader(0) as camera:
        assert (camera.name, camera.rate, camera.count) == ("camera 0", 25.0, 0)
        with pytest.raises(DataError, match="camera 0 has no picture that can be decoded"):
            list(camera)
    assert capture.count is None


def test_pictures_that_cannot_be_decoded_are_told(tmp_path, monkeypatch, caplog):
    (tmp_path / "a.avi").touch()
    monkeypatch.setattr(cv2, "VideoCapture", lambda name: Capture(2, 30.0))
    with VideoReader(tmp_path / "a.avi") as video, caplog.at_level(logging.WARNING, logger="hatlite"):
        assert [int(img[0, 0, 0]) for img in video] == [1, 0]
    assert "a.avi says that it has 30 pictures; 2 could be decoded." in caplog.text
