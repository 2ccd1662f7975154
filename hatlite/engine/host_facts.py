"""What a program's host has to know and integers do not say: how pixels enter, and which objects are worth drawing."""

from typing import Any

from hatlite.engine.infer_settings import validation_transforms
from hatlite.engine.input_pixels import describe_pixels
from hatlite.engine.run import Run
from hatlite.errors import ConfigError

__all__ = ["host_facts"]

THRESHOLDS = ("conf_thresh", "prob_thresh", "nms_thresh")
IMAGE_FORMATS = {"RGB": "RGB", "BGR": "BGR", "YCrCb": "YUV"}
"""Order of channels → how a chip's toolkit calls it."""


def host_facts(run: Run) -> dict[str, Any]:
    """Return those of ``image_format``, ``input_bits`` and ``thresholds`` that the config of `run` tells.

    The first two are what the transforms of its validation data do. Thresholds are names at the top of the config; those
    of its decoder are what evaluation wants, which looks at nearly everything.

    Raises:
        ConfigError: A threshold is no number of 0…1, or a transform cannot be built.
    """
    pixels = describe_pixels(validation_transforms(run)) or {}
    facts = {
        "image_format": IMAGE_FORMATS.get(pixels.get("order", "")),
        "input_bits": pixels.get("bits"),
        "thresholds": _thresholds(run),
    }
    return {name: fact for name, fact in facts.items() if fact}


def _thresholds(run: Run) -> dict[str, float]:
    found = {name: run.config[name] for name in THRESHOLDS if run.config.get(name) is not None}
    for name, value in found.items():
        if type(value) not in (int, float) or not 0 <= value <= 1:
            raise ConfigError(f"config[{name!r}] is {value!r}; expected a number from 0 to 1.", path=name)
    return {name: float(value) for name, value in found.items()}
