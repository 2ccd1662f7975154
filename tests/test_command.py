"""How tools end."""

import pytest

from hatlite.command import run_tool
from hatlite.errors import DataError


def refuse() -> None:
    raise DataError("The folder is empty.")


def interrupt() -> None:
    raise KeyboardInterrupt


def stumble() -> None:
    raise RuntimeError("a bug")


def test_success_is_zero_and_a_code_is_kept() -> None:
    assert run_tool(lambda: None) == 0
    assert run_tool(lambda: 3) == 3


def test_a_user_error_is_one_sentence_and_two(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_tool(refuse) == 2
    assert capsys.readouterr().err == "DataError: The folder is empty.\n"


def test_debug_lets_the_traceback_through() -> None:
    with pytest.raises(DataError, match=r"^The folder is empty\.$"):
        run_tool(refuse, debug=True)


def test_an_interrupt_ends_as_shells_expect(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_tool(interrupt) == 130
    assert capsys.readouterr().err == "Interrupted.\n"


def test_a_bug_is_not_hidden() -> None:
    with pytest.raises(RuntimeError, match=r"^a bug$"):
        run_tool(stumble)
