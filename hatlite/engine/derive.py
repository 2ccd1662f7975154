"""What a config may leave out because the rest of it says so: each entry is filled in only where it is missing."""

import copy
import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from hatlite.errors import HatliteError
from hatlite.registry import OBJECT_REGISTRY

__all__ = ["data_of", "derive", "predictor_of"]

_OWN_LOADERS = {"align_bpu": ("align_bpu", "int_infer")}
"""Predictor → prefixes of the loaders that count before validation's; any other looks under its own name."""


def derive(config: dict[str, Any], stages: Sequence[str]) -> None:
    """Fill in what `config`, which is changed, leaves out.

    ``calibration_data_loader`` is the training data with the transforms of validation. Trainers and predictors get the
    config's model, the loader of their own name or the common one, and ``calibration_step``. ``deploy_model`` is the
    model without targets and losses.

    Args:
        config: Resolved so far.
        stages: Names of the run's stages.
    """
    _derive_calibration_loader(config)
    for name in stages:
        trainer = config.get(f"{name}_trainer")
        if isinstance(trainer, dict):
            loader = config.get(f"{name}_data_loader", config.get("data_loader"))
            steps = {"num_steps": config["calibration_step"]} if _calibrates(trainer, config) else {}
            _fill(trainer, {"model": config.get("model"), "data_loader": loader, **steps})
    for name in (*stages, "align_bpu"):
        predictor = config.get(f"{name}_predictor")
        if isinstance(predictor, dict):
            _fill(predictor, predictor_of(config, stages, name))
    if "deploy_model" not in config and isinstance(config.get("model"), dict):
        config["deploy_model"] = _without_training(config["model"])


def _calibrates(trainer: Mapping[str, Any], config: Mapping[str, Any]) -> bool:
    return trainer.get("type") == "Calibrator" and "calibration_step" in config


def predictor_of(config: Mapping[str, Any], stages: Sequence[str], name: str) -> dict[str, Any]:
    """Return the predictor of `name` that the config implies: its model, its data and the metrics of its trainers."""
    trainers = [config.get(f"{one}_trainer", {}) for one in (name, *stages)]
    found = (trainer["val_metrics"] for trainer in trainers if isinstance(trainer, dict) and "val_metrics" in trainer)
    metrics = config.get("val_metrics") or next(found, None)
    own = _OWN_LOADERS.get(name, (name,) if name == "int_infer" else ())
    loader = next((config[f"{one}_data_loader"] for one in own if f"{one}_data_loader" in config), None)
    derived = {"type": "Predictor", "model": config.get("model"), "metrics": metrics}
    return {**derived, "data_loader": loader or config.get("val_data_loader")}


def _parameters(entry: Mapping[str, Any]) -> Mapping[str, inspect.Parameter]:
    """Return what the constructor of `entry` takes; nothing where that is not known."""
    try:
        return inspect.signature(OBJECT_REGISTRY.get(entry.get("type"))).parameters
    except (HatliteError, ValueError):  # validation tells what is wrong with it
        return {}


def _fill(entry: dict[str, Any], values: Mapping[str, Any]) -> None:
    """Give `entry` those of `values` that its constructor takes and that it does not have."""
    for key in _parameters(entry):
        if key not in entry and values.get(key) is not None:
            entry[key] = values[key]


def _without_training(model: Mapping[str, Any]) -> dict[str, Any]:
    """Return `model` without what only training needs, as far as it may be left out."""
    needed = {key for key, parameter in _parameters(model).items() if parameter.default is parameter.empty}
    only = {key for key in model if key in ("targets", "pretrained", "quantize") or key.startswith("loss_")} - needed
    return {key: value for key, value in model.items() if key not in only}


def _derive_calibration_loader(config: dict[str, Any]) -> None:
    trainer = config.get("calibration_trainer")
    if not isinstance(trainer, dict) or "data_loader" in trainer:
        return
    if "calibration_data_loader" not in config:
        derived = copy.deepcopy(config.get("data_loader"))
        ours, theirs = data_of(derived), data_of(config.get("val_data_loader"))
        if ours is None or theirs is None or derived is None:
            return  # validation tells what is missing
        if "transforms" in theirs:
            derived["dataset"] = _seen_plainly(derived["dataset"], theirs["transforms"])
        config["calibration_data_loader"] = derived
    trainer["data_loader"] = config["calibration_data_loader"]


def data_of(loader: Any) -> dict[str, Any] | None:
    """Return the config of the data set below `loader`, inside its wrappers."""
    while isinstance(loader, dict) and "dataset" in loader:
        loader = loader["dataset"]
    return loader if isinstance(loader, dict) else None


def _seen_plainly(dataset: Any, transforms: Any) -> Any:
    """Return the config of a data set with `transforms` in the innermost ones alone, and none that change by epoch."""
    if not isinstance(dataset, dict):
        return dataset
    if dataset.get("type") == "BatchTransformDataset":
        return _seen_plainly(dataset.get("dataset"), transforms)
    inner = {key: _seen_plainly(dataset[key], transforms) for key in ("dataset",) if key in dataset}
    if isinstance(dataset.get("datasets"), (list, tuple)):
        inner["datasets"] = [_seen_plainly(part, transforms) for part in dataset["datasets"]]
    if not inner:
        return {**dataset, "transforms": copy.deepcopy(transforms)}
    return {key: value for key, value in {**dataset, **inner}.items() if key != "transforms"}
