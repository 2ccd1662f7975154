"""What tools share: flags, and how they end."""

import argparse
import subprocess
import sys

import pytest

from hatlite.command import ToolParser, count, run_tool, share, start
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


def test_what_the_system_says_about_a_file_is_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_tool(lambda: open("/nowhere/file")) == 2
    assert capsys.readouterr().err == "FileNotFoundError: /nowhere/file: No such file or directory.\n"


def test_a_reader_who_has_seen_enough_is_no_error() -> None:
    code = "from hatlite.command import ToolParser, start; start(lambda args: print('x' * 10**6), ToolParser(None))"
    tool = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    tool.stdout.close()
    assert (tool.wait(60), tool.stderr.read()) == (141, b"")
    tool.stderr.close()


def test_a_bug_is_not_hidden() -> None:
    with pytest.raises(RuntimeError, match=r"^a bug$"):
        run_tool(stumble)


@pytest.fixture
def parser() -> ToolParser:
    parser = ToolParser("A tool.")
    parser.add_config()
    parser.add_device()
    parser.add_argument("--stage", "-s", default="float")
    parser.add_argument("--num-images", type=count(1))
    parser.add_argument("--score", type=share)
    return parser


@pytest.mark.parametrize(
    "words",
    [
        ["--config", "a.py"],
        ["-c", "a.py"],
        ["a.py"],
        ["--stage", "qat", "a.py", "--device", "cpu"],
        ["a.py", "--config", "a.py"],
        ["--config", "a.py", "a.py"],
    ],
)
def test_the_config_is_named_in_one_of_two_ways(parser: ToolParser, words: list[str]) -> None:
    assert parser.parse_args(words).config == "a.py"


def test_overrides_add_up(parser: ToolParser) -> None:
    assert parser.parse_args(["a.py", "--opts", "a=1", "b=2", "--opts", "c=3"]).opts == ["a=1", "b=2", "c=3"]
    assert parser.parse_args(["a.py"]).opts == []


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "the config is missing; name its file, such as --config configs/"),
        (["a.py", "-c", "b.py"], "two configs are named, a.py and b.py; name one."),
        (["a.py", "--confg", "b.py"], "'--confg' is no argument of this tool. Did you mean '--config'?"),
        (["--cfg", "b.py", "-c", "a.py"], "'--cfg' is no argument of this tool."),
        (["a.py", "b.py"], "'b.py' is no argument of this tool."),
        (["a.py", "--stag", "qat"], "'--stag' is no argument of this tool. Did you mean '--stage'?"),
        (["a.py", "--num-images", "0"], "argument --num-images: is '0'; expected a whole number from 1 up"),
        (["a.py", "--score", "3"], "argument --score: is '3'; expected a number from 0 to 1, such as 0.3"),
        (["a.py", "--score", "nan"], "argument --score: is 'nan'; expected a number"),
        (["a.py", "--score", "x"], "argument --score: is 'x'; expected a number"),
        (["a.py", "--opts"], "argument --opts: expected at least one argument"),
    ],
)
def test_a_wrong_command_line_is_one_sentence(
    parser: ToolParser, words: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match=r"^2$"):
        parser.parse_args(words)
    said = capsys.readouterr().err.splitlines()
    assert sentence in said[0]
    assert len(said) == 2 and said[1].endswith("--help")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("--confg a.py", "'--confg' is no argument of this tool. Did you mean '--config'?"),
        ("-z 3 image", "'-z' is no argument of this tool."),
        ("image --num x --confg=a.py", "'--confg=a.py' is no argument of this tool. Did you mean '--config'?"),
        ("vidoe --num 3", "argument source: invalid choice: 'vidoe' (choose from"),
        ("image -n=x", "argument --num/-n: is 'x'; expected a whole number"),
        ("image -nx", "argument --num/-n: is 'x'; expected a whole number"),
        ("-5", "argument source: invalid choice: '-5'"),
        ("-- --confg", "argument source: invalid choice: '--confg'"),
    ],
)
def test_an_unknown_flag_is_told_before_the_value_of_another_argument(
    words: str, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    parser = ToolParser(None)
    parser.add_argument("source", choices=("image", "video"))
    parser.add_argument("--num", "-n", type=count(1))
    parser.add_config(positional=False)
    with pytest.raises(SystemExit, match=r"^2$"):
        parser.parse_args(words.split())
    assert sentence in capsys.readouterr().err


def test_a_config_may_be_optional_and_not_stand_alone() -> None:
    parser = ToolParser(None)
    parser.add_argument("file", nargs="?")
    parser.add_config(positional=False, required=False)
    args = parser.parse_args(["a.hbir"])
    assert (args.file, args.config) == ("a.hbir", None)


def test_a_tool_starts_and_ends(monkeypatch: pytest.MonkeyPatch, parser: ToolParser) -> None:
    seen: list[argparse.Namespace] = []
    monkeypatch.setattr("sys.argv", ["tool.py", "a.py"])
    with pytest.raises(SystemExit, match=r"^7$"):
        start(lambda args: seen.append(args) or 7, parser)
    assert seen[0].config == "a.py"
