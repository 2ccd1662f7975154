"""What a program's host has to know and integers do not say: how pixels enter, and which objects are worth drawing."""

from collections.abc import Sequence
from typing import Any

from hatlite.data.transforms import Pad, Resize
from hatlite.engine.infer_settings import validation_transforms
from hatlite.engine.input_pixels import describe_pixels
from hatlite.engine.run import Run
from hatlite.errors import ConfigError

__all__ = ["THRESHOLDS", "host_facts"]

THRESHOLDS = ("conf_thresh", "prob_thresh", "nms_thresh")
IMAGE_FORMATS = {"RGB": "RGB", "BGR": "BGR", "YCrCb": "YUV"}
"""Order of channels → how a chip's toolkit calls it."""


def host_facts(run: Run) -> dict[str, Any]:
    """Return those of ``image_format``, ``input_bits``, ``letterbox`` and ``thresholds`` that the config tells.

    The first three are what the transforms of its validation data do; ``letterbox`` is the fill (R, G, B) of pictures
    that keep their shape, and missing where they are stretched. Thresholds are names at the top of the config; those
    of its decoder are what evaluation wants, which looks at nearly everything.

    Raises:
        ConfigError: A threshold is no number of 0…1, or a transform cannot be built.
    """
    transforms = validation_transforms(run)
    pixels = describe_pixels(transforms) or {}
    facts = {
        "image_format": IMAGE_FORMATS.get(pixels.get("order", "")),
        "input_bits": pixels.get("bits"),
        "letterbox": _letterbox(transforms),
        "thresholds": _thresholds(run),
    }
    return {name: fact for name, fact in facts.items() if fact}


def _letterbox(transforms: Sequence[Any]) -> list[float] | None:
    keeps_shape = any(one.keep_ratio for one in transforms if isinstance(one, Resize))
    fills = [list(one.value) for one in transforms if isinstance(one, Pad)]
    return fills[-1] if keeps_shape and fills else None


def _thresholds(run: Run) -> dict[str, float]:
    found = {name: run.config[name] for name in THRESHOLDS if run.config.get(name) is not None}
    for name, value in found.items():
        if type(value) not in (int, float) or not 0 <= value <= 1:
            raise ConfigError(f"config[{name!r}] is {value!r}; expected a number from 0 to 1.", path=name)
    return {name: float(value) for name, value in found.items()}
