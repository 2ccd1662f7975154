"""What a program's host has to know and integers do not say: how pixels enter, and which objects are worth drawing."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hatlite.data.transforms import Pad, Resize
from hatlite.engine.infer_settings import transforms_of, validation_transforms
from hatlite.engine.input_pixels import describe_pixels
from hatlite.engine.run import Run
from hatlite.errors import CheckpointError, ConfigError, HatliteError

__all__ = ["THRESHOLDS", "host_facts", "other_pixels", "require_trained_pixels"]

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
    facts = {**_pixels(validation_transforms(run)), "thresholds": _thresholds(run)}
    return {name: fact for name, fact in facts.items() if fact}


def require_trained_pixels(run: Run, state: Mapping[str, Any], path: Path) -> None:
    """Refuse a checkpoint whose pixels were others than those of the config that is to evaluate or to lower it.

    A network of the same shapes would take them, and find little. Compared is what networks of few bits depend on;
    where the checkpoint's config cannot be understood any more, nothing is.

    Args:
        run: Its config is compared.
        state: The checkpoint, which holds the config that it was trained with.
        path: Its file.

    Raises:
        CheckpointError: They differ.
    """
    ours = validation_transforms(run)
    try:
        theirs = transforms_of(json.loads(state["config"]))
    except (HatliteError, ValueError):
        return
    sizes = {"image_size": _size(theirs)}, {"image_size": _size(ours)}
    differ = other_pixels({**_pixels(theirs), **sizes[0]}, {**_pixels(ours), **sizes[1]})
    if differ:
        raise CheckpointError(
            f"{path}, of stage {state['stage']!r}, was trained on other images than the config gives:"
            f" its {', its '.join(differ)}; take the config and --opts that it was trained with, or train it on."
        )


def other_pixels(theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> list[str]:
    """Return in words which facts of images differ, if both sides know their format and one has pixels of few bits."""
    known = theirs.get("image_format") and ours.get("image_format")
    if not known or not (theirs.get("input_bits") or ours.get("input_bits")):
        return []
    names = ["image_format", "input_bits", "letterbox"]
    names += ["image_size"] if theirs.get("image_size") and ours.get("image_size") else []
    pairs = {name: (theirs.get(name) or "none", ours.get(name) or "none") for name in names}
    return [f"{name} is {their} and not {own}" for name, (their, own) in pairs.items() if their != own]


def _pixels(transforms: Sequence[Any]) -> dict[str, Any]:
    pixels = describe_pixels(transforms) or {}
    order, bits = pixels.get("order", ""), pixels.get("bits")
    return {"image_format": IMAGE_FORMATS.get(order), "input_bits": bits, "letterbox": _letterbox(transforms)}


def _size(transforms: Sequence[Any]) -> str | None:
    """Return the size that the last Pad makes."""
    sizes = [one.size for one in transforms if isinstance(one, Pad) and one.size is not None]
    return "{}×{}".format(*sizes[-1]) if sizes else None


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
