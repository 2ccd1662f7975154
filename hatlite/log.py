"""One logger for the package: plain lines on standard error that do not tear a progress bar.

A library call says nothing below WARNING; a tool calls :func:`setup` once and hears INFO.
"""

import logging
import sys
from pathlib import Path

__all__ = ["get_logger", "setup"]

ROOT = "hatlite"


class _BarHandler(logging.StreamHandler):
    """Writes whole lines; an open tqdm bar is cleared before a line and drawn again after it."""

    def emit(self, record: logging.LogRecord) -> None:
        self.setStream(sys.stderr)  # looked up per line: tests and notebooks replace sys.stderr
        bars = getattr(sys.modules.get("tqdm"), "tqdm", None)
        if bars is None:
            super().emit(record)
            return
        with bars.external_write_mode(file=self.stream, nolock=False):
            super().emit(record)


class _Plain(logging.Formatter):
    """``message``, with the level in front where it matters."""

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        return f"{record.levelname}: {text}" if record.levelno >= logging.WARNING else text


def get_logger(name: str = "") -> logging.Logger:
    """Return the logger of a module; pass ``__name__``. Names outside the package are put below it."""
    if name in ("", ROOT) or name.startswith(f"{ROOT}."):
        return logging.getLogger(name or ROOT)
    return logging.getLogger(f"{ROOT}.{name}")


def setup(level: int | str = logging.INFO, file: str | Path | None = None) -> logging.Logger:
    """Send the package's lines to standard error and, with a date, to `file`; calling again starts over.

    Args:
        level: ``"INFO"``, ``logging.DEBUG``, …
        file: Lines are appended to it; its folder is made.
    """
    root = logging.getLogger(ROOT)
    for handler in list(root.handlers):
        root.removeHandler(handler)
        handler.close()
    screen = _BarHandler()
    screen.setFormatter(_Plain())
    root.addHandler(screen)
    if file is not None:
        Path(file).parent.mkdir(parents=True, exist_ok=True)
        lines = logging.FileHandler(file, encoding="utf-8")
        lines.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        root.addHandler(lines)
    root.setLevel(level)
    root.propagate = False
    return root
