"""The names that a config sets at its top, what they may be, and what is told about names that nobody reads."""

import difflib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from hatlite.config_names import NAMES
from hatlite.engine.complexity import CALOPS_KEYS
from hatlite.engine.config_line import names_used
from hatlite.engine.converters import CONVERT_MODES
from hatlite.engine.infer_settings import INFER_KEYS
from hatlite.engine.perf import COMPILE_KEYS, perf_settings
from hatlite.engine.run import DEFAULT_STAGES, Run
from hatlite.engine.sections import section
from hatlite.errors import ConfigError
from hatlite.log import get_logger
from hatlite.registry import nearest
from hatlite.typehints import describe, fits

__all__ = ["VERSIONS", "drift", "name_problems", "section_names"]

logger = get_logger(__name__)

VERSIONS = ("v2", "ConfigVersion.v2")
"""Generations of the config format: stages with trainers and predictors are the second."""

SECTIONS = (
    "model",
    "deploy_model",
    "hbir_infer_model",
    "qconfig",
    "deploy_model_convert_pipeline",
    "val_metrics",
    "align_bpu_predictor",
    *(f"{part}data_loader" for part in ("", "val_", "qat_", "calibration_", "int_infer_", "align_bpu_")),
)
"""Names of dicts that the engine reads, beside the trainers and predictors of stages."""

SETTINGS: dict[str, dict[str, Any]] = {
    "compile_cfg": COMPILE_KEYS,
    "infer_cfg": INFER_KEYS,
    "calops_cfg": CALOPS_KEYS,
    "onnx_cfg": {"model": dict, "stage": str, "inputs": dict, "model_convert_pipeline": dict, "out_dir": str},
}
"""Dicts without a type → their keys. Those of the last are accepted; its tool asks the command line."""

ENDINGS = ("_trainer", "_predictor", "_data_loader", "_convert_pipeline")

LIKE = 0.85
"""How much an unread name must resemble a known one to be a mistake and not a name of the config's own, 0…1."""

FREE_IN_DEPLOY = ("dequant_output", "int8_output", "int16_output")
"""Keys of the head that configs change for deployment. The program's outputs are integers with their scales, of the
type that ``model`` was trained with, so that these keys of ``deploy_model`` decide nothing."""


def section_names(stages: Sequence[str]) -> list[str]:
    """Return the names of all sections that are read, with `stages` or without them."""
    names = dict.fromkeys((*stages, *(stage.name for stage in DEFAULT_STAGES)))
    own = [f"{name}_{kind}" for name in names for kind in ("trainer", "predictor", "data_loader")]
    return list(dict.fromkeys((*SECTIONS, *own)))


def name_problems(run: Run) -> list[ConfigError]:
    """Return what is wrong with the names at the top of the run's config and with their plain values."""
    config = run.config
    problems = [
        ConfigError(f"config[{key!r}] is {config[key]!r}; expected {describe(hint)}.", path=key)
        for key, hint in NAMES.items()
        if key in config and not fits(config[key], hint)
    ]
    stages = [stage.name for stage in run.stages]
    known = list(dict.fromkeys([*stages, *(stage.name for stage in DEFAULT_STAGES), "align_bpu"]))
    for key, values in (("VERSION", VERSIONS), ("convert_mode", CONVERT_MODES), ("training_step", known)):
        if isinstance(config.get(key), str) and config[key] not in values:
            expected = f"{', '.join(values)}.{nearest(config[key], list(values))}"
            problems.append(ConfigError(f"config[{key!r}] is {config[key]!r}; expected one of {expected}", path=key))
    problems += [*_input_problems(config), *_setting_problems(run)]
    problems += drift(config.get("model"), config.get("deploy_model"))
    return problems + list(_unread(run, stages))


def _input_problems(config: Mapping[str, Any]) -> Iterator[ConfigError]:
    inputs = config.get("deploy_inputs")
    if not isinstance(inputs, Mapping):
        return
    img = inputs.get("img")
    if set(inputs) != {"img"} or not isinstance(img, torch.Tensor) or img.dim() != 4:
        shapes = {key: list(value.shape) if hasattr(value, "shape") else value for key, value in inputs.items()}
        yield ConfigError(
            f"config['deploy_inputs'] has {shapes}; expected dict(img=torch.randn(1, 3, 512, 512)), one tensor"
            " (N, C, H, W).",
            path="deploy_inputs",
        )


def _setting_problems(run: Run) -> Iterator[ConfigError]:
    for name, keys in SETTINGS.items():
        try:
            section(run.config, name, keys)
            if name == "compile_cfg":
                perf_settings(run)
        except ConfigError as problem:
            yield problem


def drift(model: Any, deploy: Any) -> list[ConfigError]:
    """Return in what the network of ``deploy_model`` differs from that of ``model``: they must be one network.

    Args:
        model: Config of the detector that is trained.
        deploy: Config of the one that is deployed, without targets and losses.
    """
    if not isinstance(model, Mapping) or not isinstance(deploy, Mapping):
        return []
    problems = []
    for part in ("type", "backbone", "neck", "head"):
        for path, ours, theirs in _differences(model.get(part), deploy.get(part), f"[{part!r}]"):
            if part != "head" or not path.endswith(tuple(f"[{key!r}]" for key in FREE_IN_DEPLOY)):
                problems.append(
                    ConfigError(
                        f"config['deploy_model']{path} is {theirs!r} and config['model']{path} is {ours!r}; both"
                        " describe one network: make them equal, or leave deploy_model out, which is then derived.",
                        path=f"config['deploy_model']{path}",
                    )
                )
    return problems


class _Nothing:
    def __repr__(self) -> str:
        return "left out"


def _differences(ours: Any, theirs: Any, path: str) -> Iterator[tuple[str, Any, Any]]:
    if isinstance(ours, Mapping) and isinstance(theirs, Mapping):
        for key in dict.fromkeys([*ours, *theirs]):
            mine, yours = ours.get(key, _Nothing()), theirs.get(key, _Nothing())
            yield from _differences(mine, yours, f"{path}[{key!r}]")
    elif isinstance(ours, (list, tuple)) and isinstance(theirs, (list, tuple)):
        if list(ours) != list(theirs):
            yield path, ours, theirs
    elif ours != theirs:
        yield path, ours, theirs


def _unread(run: Run, stages: Sequence[str]) -> Iterator[ConfigError]:
    """Yield an error for each entry that was meant to be read and is not; a log line for other unread objects."""
    known = [*section_names(stages), *NAMES, *SETTINGS]
    read = set()
    for name in known:
        read |= set(_ids(run.config.get(name)))
    yield from _misspelt(run, known)
    for name, value in run.config.items():
        if name in known or not isinstance(value, Mapping) or id(value) in read:
            continue
        near = nearest(name, known)
        meant = name.endswith(ENDINGS) or difflib.get_close_matches(name, known, n=1, cutoff=LIKE)
        if meant:
            yield ConfigError(f"config[{name!r}] is read by nothing.{near}", path=f"config[{name!r}]")
        elif "type" in value:
            logger.warning("config[%r] is used nowhere in the config, and nothing reads that name.%s", name, near)


def _misspelt(run: Run, known: Sequence[str]) -> Iterator[ConfigError]:
    """Yield an error for each plain value whose name is one slip away from a known one that the config does not set.

    Names that the config uses itself, further down or in a sibling, are its own.
    """
    unset = [name for name in known if name not in run.config or name in run.derived]
    plain = [name for name, value in run.config.items() if not isinstance(value, Mapping) and not callable(value)]
    slips = {name: [one for one in unset if _one_slip(name, one)] for name in plain if name not in known}
    used = names_used(Path(run.source)) if any(slips.values()) else set()
    for name, near in slips.items():
        if near and name not in used:
            yield ConfigError(
                f"config[{name!r}] is read by nothing.\n  Did you mean {near[0]!r}?", path=f"config[{name!r}]"
            )


def _one_slip(word: str, other: str) -> bool:
    """Tell whether one letter that is missing, too many or wrong, or two that changed places, is the difference."""
    start = next((i for i, (a, b) in enumerate(zip(word, other, strict=False)) if a != b), min(len(word), len(other)))
    ours, theirs = word[start:], other[start:]
    swapped = ours[1::-1] + ours[2:]
    return word != other and (theirs in (ours[1:], swapped) or theirs[1:] in (ours, ours[1:]))


def _ids(value: Any) -> Iterator[int]:
    """Yield the identities of all dicts in `value`."""
    if isinstance(value, Mapping):
        yield id(value)
        for item in value.values():
            yield from _ids(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _ids(item)
