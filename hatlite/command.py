"""What every tool shares: its parser, the arguments that name a run, and how it ends.

A tool is a ``parser()`` that declares its own flags on a :class:`ToolParser`, and a ``main(args)`` that imports the
heavy part and calls it; :func:`start` puts the two together. Nothing here imports more than the standard library, so
that ``--help`` answers at once.
"""

import argparse
import difflib
import itertools
import math
import os
import re
import runpy
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from hatlite.errors import HatliteError

__all__ = ["ToolParser", "count", "run_tool", "share", "start", "tool_beside"]

USER_ERROR = 2
INTERRUPTED = 130  # 128 + SIGINT, as shells report it
BROKEN_PIPE = 141  # 128 + SIGPIPE


class ToolParser(argparse.ArgumentParser):
    """Parser of a tool, with the flags that tools share; a wrong command line ends with one sentence and exit code 2.

    Args:
        description: The tool's docstring: a sentence, then examples.
        mixed: Flags may stand between the words that are no flags.
    """

    def __init__(self, description: str | None, *, mixed: bool = False) -> None:
        super().__init__(
            description=description, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
        )
        self.shared = self.add_argument_group("shared by all tools")
        self.shared.add_argument(
            "--debug", action="store_true", help="show the traceback of an error, such as for a bug report"
        )
        self.needs_config = False
        self.mixed = mixed
        self.unknown_flag: str | None = None

    def add_config(self, *, positional: bool = True, required: bool = True) -> None:
        """Declare the config, which may stand alone or behind ``--config``, and ``--opts``.

        Args:
            positional: Allow it to stand alone; a tool whose first word is something else does not.
            required: End with a sentence when it is not named.
        """
        self.needs_config = required
        text = "config file, such as configs/detection/fcos/fcos_efficientnetb0_bccd.py: one complete run"
        if positional:
            self.add_argument("config", nargs="?", metavar="CONFIG", action=_OnceOnly, help=text)
            text = "the same, where it does not stand alone: --config CONFIG"
        self.shared.add_argument("--config", "-c", metavar="CONFIG", action=_OnceOnly, help=text)
        self.shared.add_argument(
            "--opts",
            nargs="+",
            action="extend",
            default=[],
            metavar="KEY=VALUE",
            help="override values of the config, such as --opts num_epochs=2 model.head.feat_channels=32",
        )

    def add_device(self) -> None:
        """Declare where the tool runs."""
        self.shared.add_argument("--device", help="such as --device cuda:0; default: what the config says, else cpu")

    def add_launch(self) -> None:
        """Declare where the tool runs, and in how many processes."""
        self.add_device()
        group = self.add_argument_group("several processes")
        group.add_argument(
            "--device-ids",
            metavar="IDS",
            help="start a process for each of these GPUs, such as --device-ids 0,1; with --device cpu, or where there"
            " is no GPU, ids only count processes. The config's device_ids start none",
        )
        group.add_argument(
            "--dist-url",
            metavar="HOST:PORT",
            help="where the processes of --device-ids meet, such as 127.0.0.1:29500; default: a free port",
        )
        group.add_argument(
            "--launcher",
            metavar="torch",
            help="the processes were started from outside: torchrun --nproc-per-node 2 tools/train.py --launcher torch"
            " … on each node; without it torchrun is noticed all the same",
        )

    # argparse overloads this one over the kind of namespace, which no tool chooses
    def parse_args(self, args: Sequence[str] | None = None, namespace: Any = None) -> Any:  # type: ignore[override]
        """Return the arguments; a wrong command line ends the tool."""
        self.unknown_flag = self._first_unknown_flag(sys.argv[1:] if args is None else args)
        parse = self.parse_known_intermixed_args if self.mixed else self.parse_known_args
        found, unknown = parse(args, namespace)
        if unknown:
            self.error(self._no_argument(unknown[0]))
        if hasattr(found, "second"):
            self.error(f"two configs are named, {found.config} and {found.second}; name one.")
        if self.needs_config and found.config is None:
            self.error("the config is missing; name its file, such as --config configs/detection/fcos/NAME.py")
        return found

    def error(self, message: str) -> NoReturn:
        """Print what is wrong in one line and where the flags are explained; exit with 2.

        An unknown flag comes before all else: what follows it was taken for the value of another argument.
        """
        if self.unknown_flag:
            message = self._no_argument(self.unknown_flag)
        self.exit(USER_ERROR, f"{self.prog}: {message}\n  All arguments: python {sys.argv[0]} --help\n")

    def _flags(self) -> list[str]:
        return [flag for action in self._actions for flag in action.option_strings]

    def _first_unknown_flag(self, words: Sequence[str]) -> str | None:
        known = self._flags()
        for word in itertools.takewhile(lambda word: word != "--", words):  # behind -- stand no flags
            name = word.partition("=")[0]
            looks_like_one = re.fullmatch(r"--?[A-Za-z][^ ]*", name)  # no number, no sentence
            holds_its_value = name[:2] in known  # -ofile is -o file
            if looks_like_one and name not in known and not holds_its_value:
                return word
        return None

    def _no_argument(self, word: str) -> str:
        close = difflib.get_close_matches(word.partition("=")[0], self._flags(), 1)
        near = f" Did you mean {close[0]!r}?" if close else ""
        return f"{word!r} is no argument of this tool.{near}"


class _OnceOnly(argparse.Action):
    """Keeps the first value of an argument that can be named in two ways; another one becomes ``second``.

    It is judged last: what follows an unknown flag may look like a second value.
    """

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, value: Any, option: str | None = None
    ) -> None:
        before = getattr(namespace, self.dest, None)
        if value is not None and before not in (None, value):
            namespace.second = value
        setattr(namespace, self.dest, value if before is None else before)


def count(least: int) -> Callable[[str], int]:
    """Return the type of an argument that is a whole number from `least` up."""

    def read(text: str) -> int:
        if not text.isdecimal() or int(text) < least:
            raise argparse.ArgumentTypeError(f"is {text!r}; expected a whole number from {least} up")
        return int(text)

    return read


def share(text: str) -> float:
    """Read an argument that is a number in 0…1."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"is {text!r}; expected a number from 0 to 1, such as 0.3")
    return value


def tool_beside(file: str, name: str) -> tuple[Callable[..., int | None], Callable[..., ToolParser]]:
    """Return ``main`` and ``parser`` of the tool at `name`, as seen from `file`, which is another name for it."""
    tool = runpy.run_path(str(Path(file).parent / name))
    return tool["main"], tool["parser"]


def start(main: Callable[..., int | None], parser: ToolParser) -> NoReturn:
    """Read the command line, run `main` on it and end the process."""
    args = parser.parse_args()
    code = run_tool(lambda: main(args), debug=args.debug)
    if code == BROKEN_PIPE:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python flushes once more when it ends
    sys.exit(code)


def run_tool(main: Callable[[], int | None], *, debug: bool = False) -> int:
    """Call `main` and return the exit code; what the user can mend is printed as a sentence, without a traceback.

    That is a :class:`HatliteError`, or what the system said about a file.

    Args:
        main: The tool's work; None counts as 0.
        debug: Let the traceback through.
    """
    try:
        return main() or 0
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        return BROKEN_PIPE
    except (HatliteError, OSError) as error:
        if debug or (not isinstance(error, HatliteError) and error.filename is None):
            raise
        print(f"{type(error).__name__}: {_sentence(error)}", file=sys.stderr)
        return USER_ERROR
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        return INTERRUPTED


def _sentence(error: HatliteError | OSError) -> str:
    return str(error) if isinstance(error, HatliteError) else f"{error.filename}: {error.strerror}."
