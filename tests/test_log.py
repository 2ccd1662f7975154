"""One logger, plain lines, no torn bars."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from tqdm import tqdm

from hatlite.log import get_logger, setup


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    root = logging.getLogger("hatlite")
    before = root.handlers[:], root.level, root.propagate
    yield
    for handler in set(root.handlers) - set(before[0]):
        handler.close()
    root.handlers[:], root.propagate = before[0], before[2]
    root.setLevel(before[1])


def test_every_logger_hangs_below_the_package() -> None:
    assert get_logger().name == "hatlite"
    assert get_logger("hatlite.engine").name == "hatlite.engine"
    assert get_logger("__main__").name == "hatlite.__main__"


def test_quiet_until_set_up(capsys: pytest.CaptureFixture[str]) -> None:
    get_logger("hatlite.data").info("nobody asked")
    assert capsys.readouterr().err == ""


def test_lines_are_plain_and_warnings_say_so(capsys: pytest.CaptureFixture[str]) -> None:
    setup("INFO")
    get_logger("hatlite.data").info("epoch %d", 3)
    get_logger("hatlite.data").warning("2 boxes dropped")
    get_logger("hatlite.data").debug("too much")
    assert capsys.readouterr().err == "epoch 3\nWARNING: 2 boxes dropped\n"


def test_setup_again_does_not_double_lines(capsys: pytest.CaptureFixture[str]) -> None:
    setup()
    setup()
    get_logger().info("once")
    assert capsys.readouterr().err == "once\n"


def test_a_file_gets_dated_lines(tmp_path: Path) -> None:
    setup(logging.INFO, tmp_path / "logs" / "run.log")
    get_logger().info("written")
    assert (tmp_path / "logs" / "run.log").read_text(encoding="utf-8").rstrip().endswith("INFO written")


def test_a_bar_is_cleared_before_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    setup()
    with tqdm(total=2, mininterval=0, ascii=True) as bar:
        bar.update()
        get_logger().info("between")
    before = capsys.readouterr().err.partition("between\n")[0]
    assert before.endswith("\r")
