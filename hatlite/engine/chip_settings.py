"""``GNetDet.yaml``: how a chip model is used, as the converter or its owner writes it beside the model.

::

    VERSION: "1.0"               # anything
    CHIP: 5801
    MODEL:
      NAME: GNetDet              # anything
      INPUT: {SIZE: 448, FORMAT: 0}                                 # 0 or BGR; 1, Y or YUV; RGB
      OUTPUT: {CAP: 1.1554}
    OPTS: {CONF_THRESH: 0.53, PROB_THRESH: 0.5, NMS_THRESH: 0.4}
    DATA: {NUM_CLASSES: 3, CLASS_NAMES: [WBC, RBC, Platelets]}

Every key may be left out. Thresholds choose; the others repeat what the model knows itself, and are compared with it:
a file that belongs to another model is noticed.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from hatlite.chip import output_cap, output_gains
from hatlite.errors import ConfigError
from hatlite.models.predictions import GRID_BOX_CHANNELS
from hatlite.program import IntProgram
from hatlite.registry import nearest

__all__ = ["SETTINGS_FILE", "THRESHOLDS", "ChipSettings", "find_settings", "read_settings", "settings_text"]

SETTINGS_FILE = "GNetDet.yaml"
SETTINGS_VERSION = "1.0"
THRESHOLDS = {"conf_thresh": 0.53, "prob_thresh": 0.5, "nms_thresh": 0.4}
"""Where neither the command line nor a file nor the model says others."""
ORDERS = {name: name for name in ("BGR", "RGB", "YUV")}
FORMATS: dict[Any, str] = {0: "BGR", 1: "YUV", "0": "BGR", "1": "YUV", "Y": "YUV", **ORDERS}
NUMBERS = {"BGR": 0, "YUV": 1}
"""Format → its number, where it has one."""
CHIPS = {"5801": "gti5801", "gti5801": "gti5801", "sit501": "gti5801"}
"""Name of a chip, in lower case → march; the toolkit's own files call it SIT501."""
PER_CHANNEL = (
    "# The channels of this output have gains of their own, which are in the model. CAP is that of the channel that\n"
    '# reaches furthest; to decode values elsewhere take "gains" of 5801_gnetdet_model*.json, real = value * gain.\n'
)
CAP_TOLERANCE = 1e-3  # of a number that was copied by hand with four digits


def _number(low: float, high: float) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _names(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(name, str) for name in value)


KEYS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "VERSION": (lambda value: True, "anything"),
    "CHIP": (lambda value: str(value).lower() in CHIPS, "5801 or SIT501, the chip that there are models for"),
    "MODEL.NAME": (lambda value: True, "anything"),
    "MODEL.INPUT.SIZE": (_whole, "a whole number of pixels, such as 448"),
    "MODEL.INPUT.FORMAT": (
        lambda value: not isinstance(value, bool | list | dict) and value in FORMATS,
        "0 or BGR, 1, Y or YUV, or RGB",
    ),
    "MODEL.OUTPUT.CAP": (_number(0, math.inf), "a number, such as 1.1554"),
    "OPTS.CONF_THRESH": (_number(0, 1), "a number from 0 to 1, such as 0.53"),
    "OPTS.PROB_THRESH": (_number(0, 1), "a number from 0 to 1, such as 0.5"),
    "OPTS.NMS_THRESH": (_number(0, 1), "a number from 0 to 1, such as 0.4"),
    "DATA.NUM_CLASSES": (_whole, "a whole number, such as 20"),
    "DATA.CLASS_NAMES": (_names, "a list of names; put quotes around such as 'no', '12' or 'on'"),
}
"""Key with its sections → what its value must be, as a test and as words."""


@dataclass(frozen=True)
class ChipSettings:
    """What was said about a model and its use; the first place that says something counts.

    Attributes:
        values: Key of :data:`KEYS` → value, from the command line or the file.
        places: Key → where it was said, for messages.
    """

    values: Mapping[str, Any] = field(default_factory=dict)
    places: Mapping[str, str] = field(default_factory=dict)

    def overridden(self, given: Mapping[str, tuple[str, Any]]) -> "ChipSettings":
        """Return these settings after the command line.

        Args:
            given: Key → flag and value; a value of None was not given.
        """
        said = {key: (flag, value) for key, (flag, value) in given.items() if value is not None}
        return ChipSettings(
            {**self.values, **{key: value for key, (_, value) in said.items()}},
            {**self.places, **{key: flag for key, (flag, _) in said.items()}},
        )

    def thresholds(self) -> dict[str, float]:
        """Return those thresholds that were said, by the names that the decoder has: ``conf_thresh`` and so on."""
        found = {key.partition(".")[2].lower(): value for key, value in self.values.items() if key.startswith("OPTS.")}
        return {key: float(value) for key, value in found.items()}

    def image_format(self, program: IntProgram) -> str:
        """Return what the pixels of `program` are: as it knows itself, else as was said, else BGR."""
        return program.metadata.get("image_format") or FORMATS[self.values.get("MODEL.INPUT.FORMAT", "BGR")]

    def classes(self, program: IntProgram) -> tuple[str, ...]:
        """Return the names of the classes: those that `program` knows, else those that were said."""
        return tuple(program.metadata.get("classes") or self.values.get("DATA.CLASS_NAMES", ()))

    def check(self, program: IntProgram, model: Path) -> None:
        """Compare what was said with what the model of the file `model` knows.

        Raises:
            ConfigError: They differ; of several differences all are told.
        """
        problems = [
            ConfigError(f"{self.places[key]} is {_told(self.values[key])}, but {model} {says}")
            for key, says in _differences(self.values, program)
        ]
        if problems:
            raise ConfigError.together(problems, f"what is said about {model}")


def _differences(said: Mapping[str, Any], program: IntProgram) -> Iterator[tuple[str, str]]:
    """Yield key and what the model says instead."""
    known = program.metadata
    side = program.values[program.inputs[0].value].shape[0]
    if "CHIP" in said and CHIPS[str(said["CHIP"]).lower()] != program.march:
        yield "CHIP", f"is made for {program.march}; take a model that was converted for this chip."
    if said.get("MODEL.INPUT.SIZE", side) != side:
        yield "MODEL.INPUT.SIZE", f"takes images of {side}×{side}; leave the size out, or take a model of that size."
    image_format = known.get("image_format")
    if image_format and FORMATS[said.get("MODEL.INPUT.FORMAT", image_format)] != image_format:
        yield "MODEL.INPUT.FORMAT", f"was trained on {image_format}; leave the format out, the model knows it."
    cap, own = said.get("MODEL.OUTPUT.CAP"), output_cap(program) if known.get("caps") else None
    if cap is not None and own is not None and not math.isclose(cap, own, rel_tol=CAP_TOLERANCE):
        yield "MODEL.OUTPUT.CAP", f"has the cap {own:g}; leave CAP out, the model knows it, or take its own file."
    yield from _class_differences(said, program)


def _class_differences(said: Mapping[str, Any], program: IntProgram) -> Iterator[tuple[str, str]]:
    classes = list(program.metadata.get("classes", ()))
    count = program.values[program.outputs[0].value].shape[-1] - GRID_BOX_CHANNELS
    named, listed = said.get("DATA.CLASS_NAMES", classes), f": {', '.join(classes)}" if classes else ""
    if said.get("DATA.NUM_CLASSES", count) != count:
        yield "DATA.NUM_CLASSES", f"has {count} classes{listed}; leave it out, or take the model's own file."
    if named != classes and (classes or len(named) != count):
        yield "DATA.CLASS_NAMES", f"has {count} classes{listed}; leave them out, or take the model's own file."


def _told(value: Any) -> str:
    return ", ".join(value) if isinstance(value, list) else str(value)


def find_settings(model: Path) -> Path | None:
    """Return the ``GNetDet.yaml`` beside `model`, else that of the working folder; None where there is none."""
    return next((path for path in (model.parent / SETTINGS_FILE, Path(SETTINGS_FILE)) if path.is_file()), None)


def read_settings(path: Path) -> ChipSettings:
    """Read a ``GNetDet.yaml``.

    Raises:
        ConfigError: It cannot be read, is no YAML, or has an unknown key or a value of another kind; of several
            problems all are told.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as cause:
        raise ConfigError(f"{path} cannot be read: {cause.strerror}; name a {SETTINGS_FILE} that can.") from cause
    except (yaml.YAMLError, UnicodeDecodeError) as cause:
        raise ConfigError(f"{path} is no YAML: {' '.join(str(cause).split())}.") from cause
    values = dict(_flat({} if content is None else content, path))
    problems = [error for error in (_problem(path, key, value) for key, value in values.items()) if error]
    if problems:
        raise ConfigError.together(problems, str(path))
    return ChipSettings(values, {key: f"{path}: {key}" for key in values})


def settings_text(program: IntProgram) -> str:
    """Return the ``GNetDet.yaml`` that belongs to `program`: all that it knows of itself, and thresholds to choose.

    Args:
        program: One that the chip holds, so it has caps, classes and a format.
    """
    known = program.metadata
    classes, image_format = list(known["classes"]), known["image_format"]
    side = program.values[program.inputs[0].value].shape[0]
    thresholds = {**THRESHOLDS, **known.get("thresholds", {})}
    note = PER_CHANNEL if len(set(output_gains(program))) > 1 else ""
    content = {
        "VERSION": SETTINGS_VERSION,
        "CHIP": next(int(number) for number, march in CHIPS.items() if march == program.march),
        "MODEL": {
            "NAME": program.name,
            "INPUT": {"SIZE": side, "FORMAT": NUMBERS.get(image_format, image_format)},
            "OUTPUT": {"CAP": float(output_cap(program))},
        },
        "OPTS": {name.upper(): value for name, value in thresholds.items()},
        "DATA": {"NUM_CLASSES": len(classes), "CLASS_NAMES": classes},
    }
    return note + yaml.safe_dump(content, sort_keys=False, allow_unicode=True)


def _flat(content: Any, path: Path, section: str = "") -> Iterator[tuple[str, Any]]:
    """Yield dotted key and value of everything below `section`, which a key of :data:`KEYS` never is."""
    if not isinstance(content, Mapping):
        where = f"{path}: {section.rstrip('.')}" if section else str(path)
        inside = ", ".join(dict.fromkeys(key[len(section) :].partition(".")[0] for key in _below(section)))
        raise ConfigError(f"{where} is {content!r}; expected a section with {inside}.")
    for key, value in content.items():
        name = f"{section}{key}"
        if _below(f"{name}."):
            yield from _flat(value, path, f"{name}.")
        else:
            yield name, value


def _below(section: str) -> list[str]:
    return [key for key in KEYS if key.startswith(section)]


def _problem(path: Path, key: str, value: Any) -> ConfigError | None:
    if key not in KEYS:
        return ConfigError(f"{path} has no key {key}; it may have {', '.join(KEYS)}.{nearest(key, list(KEYS))}")
    fits, expected = KEYS[key]
    return None if fits(value) else ConfigError(f"{path}: {key} is {value!r}; expected {expected}.")
