"""The window's keys and what it shows, on a screen that is not there."""

import cv2
import numpy as np
import pytest

from hatlite.analysis.window import RED, Window
from hatlite.errors import MissingExtraError, OutputError

GREY = np.full((240, 320, 3), 120, np.uint8)


@pytest.fixture
def screen(monkeypatch):
    """Return the pictures that were shown and the keys that will be pressed."""
    shown, keys = [], []
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setattr(cv2, "namedWindow", lambda title: None)
    monkeypatch.setattr(cv2, "imshow", lambda title, img: shown.append(img))
    monkeypatch.setattr(cv2, "waitKey", lambda milliseconds: keys.pop(0))
    return shown, keys


def test_the_note_is_red_at_the_upper_left_and_the_picture_stays(screen):
    shown, keys = screen
    keys.append(-1)
    assert Window("t").show(GREY, "chip 12.3/s")
    red = (shown[0][..., ::-1] == RED).all(axis=2)
    assert red[:40, :160].any() and not red[40:].any()
    assert (GREY == 120).all()


@pytest.mark.parametrize(
    ("pressed", "wait", "goes_on"),
    [
        ([-1], False, True),
        ([ord("x")], False, True),
        ([ord("q")], False, False),
        ([ord(" "), ord("x"), ord(" ")], False, True),
        ([ord(" "), ord("q")], False, False),
        ([ord(" ")], True, True),
        ([ord("q")], True, False),
        ([0x100000 | ord("q")], False, False),  # with a flag of the keyboard's
    ],
)
def test_keys(screen, pressed, wait, goes_on):
    screen[1].extend(pressed)
    assert Window("t").show(GREY, "", wait=wait) is goes_on
    assert screen[1] == []


def test_without_a_screen(monkeypatch):
    monkeypatch.setattr("sys.platform", "linux")
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(OutputError, match="^There is no screen to show cells on: neither DISPLAY nor WAYLAND_DISPLAY"):
        Window("cells")


def test_without_windows(screen, monkeypatch):
    def refuse(title):
        raise cv2.error("not implemented")

    monkeypatch.setattr(cv2, "namedWindow", refuse)
    with pytest.raises(MissingExtraError, match=r"has no windows; leave --show out, or exchange .* hatlite\[gui\]"):
        Window("t")
