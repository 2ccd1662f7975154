"""Which files are read and where drawn pictures go: settled before any work; files are written whole or not at all."""

import re
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

import cv2
import numpy as np

from hatlite.data.image import encode_jpeg
from hatlite.errors import ConfigError, DataNotFoundError
from hatlite.files import whole_file
from hatlite.registry import nearest

__all__ = [
    "PICTURE_FORMATS",
    "check_picture_name",
    "files_at",
    "output_paths",
    "parse_inputs",
    "picture_paths",
    "save_picture",
]

PICTURE_FORMATS = (".jpg", ".jpeg", ".png")
SUFFIX = "_detections.jpg"
PREFIX = re.compile(r"^\s*imgs?:")
OTHER = re.compile(r"^\w{2,}:")  # one letter may be a drive


def parse_inputs(text: str) -> list[Path]:
    """Return the files that ``"imgs:a.jpg,imgs:b.jpg"`` names; ``img:`` and bare paths are read too.

    Raises:
        ConfigError: A name is empty, or stands behind the name of another input.
    """
    names = [PREFIX.sub("", part).strip() for part in text.split(",")]
    if not all(names):
        raise ConfigError(f"--model-inputs is {text!r}; expected imgs:PATH, or several of them with commas between.")
    strange = [name for name in names if OTHER.match(name) and not Path(name).exists()]
    if strange:
        raise ConfigError(f"--model-inputs has {strange[0]!r}; the network's input is called img, so write img:PATH.")
    return [Path(name) for name in names]


def files_at(path: str | Path, formats: Collection[str], flag: str) -> list[Path]:
    """Return the file `path` or, of a folder, the files in it, without those of folders inside, in order of names.

    Args:
        path: As given by `flag`.
        formats: Endings that files have, in small letters.
        flag: For messages.

    Raises:
        DataNotFoundError: There is nothing at `path`, or no such file in the folder.
        ConfigError: The file ends otherwise.
    """
    path = Path(path)
    named = ", ".join(formats)
    if path.is_dir():
        found = sorted(file for file in path.iterdir() if file.suffix.lower() in formats and file.is_file())
        if not found:
            raise DataNotFoundError(f"{flag} is the folder {path}, which has no file ending in {named}; name another.")
        return found
    if not path.exists():
        beside = [one.name for one in path.parent.iterdir()] if path.parent.is_dir() else []
        raise DataNotFoundError(
            f"{flag} is {path}, which does not exist; name a folder or a file ending in {named}."
            f"{nearest(path.name, beside)}"
        )
    if path.suffix.lower() not in formats:
        raise ConfigError(f"{flag} is {path}; expected a folder or a file ending in {named}.")
    return [path]


def picture_paths(save_path: str | Path, inputs: Sequence[Path]) -> list[Path]:
    """Return where the picture of each input goes: :func:`output_paths` for ``--save-path`` of pictures.

    In a folder ``a.png`` becomes ``a_detections.jpg``.
    """
    return output_paths(save_path, inputs, lambda path: f"{path.stem}{SUFFIX}", PICTURE_FORMATS, "--save-path")


def output_paths(
    save_path: str | Path, inputs: Sequence[Path], named: Callable[[Path], str], formats: Collection[str], flag: str
) -> list[Path]:
    """Return where what is drawn of each input goes.

    Args:
        save_path: A folder: one that is there or, without a suffix, a new one; or, for one input, a file. Nothing is
            made here.
        inputs: Files.
        named: Gives the name in a folder.
        formats: Endings that a file may have, in small letters.
        flag: What gave `save_path`, for messages.

    Raises:
        DataNotFoundError: The folder of the file does not exist.
        ConfigError: `save_path` is a file of unknown format, one file for several inputs or the input itself, or two
            inputs have one name.
    """
    save_path = Path(save_path)
    if save_path.is_dir() or not (save_path.suffix or save_path.exists()):
        paths = [save_path / named(path) for path in inputs]
        twice = [path.name for path, times in Counter(paths).items() if times > 1]
        if twice:
            raise ConfigError(f"Two inputs would both become {save_path / twice[0]}; give them one after the other.")
        return paths
    if save_path.suffix.lower() not in formats:
        raise DataNotFoundError(
            f"{flag} is {save_path}, which is no folder and no name ending in {', '.join(formats)}; name one of"
            " these; a new folder needs a name without a dot, or make it first."
        )
    if not save_path.parent.is_dir():
        raise DataNotFoundError(f"{flag} is {save_path}, but there is no folder {save_path.parent}; make it first.")
    if len(inputs) > 1:
        raise ConfigError(f"{flag} is the file {save_path}, but there are {len(inputs)} inputs; name a folder.")
    if save_path.resolve() == inputs[0].resolve():
        raise ConfigError(f"{flag} is the input {save_path} itself; name another file or a folder.")
    return [save_path]


def check_picture_name(path: Path, flag: str) -> None:
    """Refuse a name of a picture's file, given as `flag`, before the work whose result goes there.

    Raises:
        ConfigError: It does not end as a format that can be written.
    """
    if path.suffix.lower() not in PICTURE_FORMATS:
        raise ConfigError(f"{flag} is {path}; expected a name that ends in {', '.join(PICTURE_FORMATS)}.")


def save_picture(img: np.ndarray, path: str | Path) -> Path:
    """Write (H, W, 3) uint8 RGB as a JPEG or, where the name says so, a PNG, and return the path.

    Raises:
        OutputError: The file cannot be written.
    """
    path = Path(path)
    data = _encode_png(img) if path.suffix.lower() == ".png" else encode_jpeg(img)
    with whole_file(path) as unfinished:
        unfinished.write_bytes(data)
    return path


def _encode_png(img: np.ndarray) -> bytes:
    return cv2.imencode(".png", cv2.cvtColor(img, cv2.COLOR_RGB2BGR))[1].tobytes()
