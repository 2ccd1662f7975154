"""The check of a config's network before training: built with random weights, its problems traced to the config."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from hatlite.analysis import ModelCheck, check_network
from hatlite.engine.agreement import check_size
from hatlite.engine.config_line import line_of
from hatlite.engine.parts import build_deployed, example_image, random_image
from hatlite.engine.run import Run
from hatlite.errors import ConfigError, DataError
from hatlite.march import get_march
from hatlite.registry import OBJECT_REGISTRY

__all__ = ["check_model_of"]


def check_model_of(run: Run, shape: Sequence[int] | None = None) -> ModelCheck:
    """Return what of the network of ``config['deploy_model']``, else ``config['model']``, runs on the config's march.

    Args:
        run: Config and where it came from; no checkpoint is read.
        shape: (N, C, H, W) of the image; None takes ``deploy_inputs``, else the one size that the model takes, else
            the first image of validation.

    Raises:
        ConfigError: The config sets no model, there is neither a shape nor an image, or the model takes none of that
            shape.
        CaptureError: The network does not run in float.
        MarchError: The march is not registered.
    """
    march = get_march(run.config["march"])
    key, model = build_deployed(run)
    size = shape if shape is not None else _example_shape(run, model)
    check_size(model, torch.Size(size), "--input-shape")
    network = getattr(model, "network", model)
    example = random_image(network, (1, *size[1:]))
    given = run.config.get("qconfig", {"type": "QConfig"})
    qconfig = OBJECT_REGISTRY.build(given, path="['qconfig']", march=march.name)
    found = check_network(network, qconfig, example, march)
    placed = (replace(row, config=_config_place(run, key, row.module)) for row in found.operators)
    return replace(found, operators=tuple(placed))


def _example_shape(run: Run, model: Any) -> Sequence[int]:
    sized = getattr(model, "input_size", None) or "deploy_inputs" in run.config
    if not sized and "val_data_loader" not in run.config:
        raise ConfigError(
            f"{run.source} has neither deploy_inputs nor val_data_loader, so the size of the image is unknown;"
            ' give it, such as --input-shape "1,3,512,512".'
        )
    try:
        return example_image(run, model).shape
    except DataError as problem:
        raise ConfigError(
            f'{problem}\n  Without data give the size of the image, such as --input-shape "1,3,512,512".'
        ) from problem


def _config_place(run: Run, key: str, module: str) -> str:
    """Return the entry of the config that the part `module` begins with was built from, with its line if it has one."""
    part = module.partition(".")[0]
    keys = [key, part] if isinstance(run.config[key], dict) and part in run.config[key] else [key]
    place = line_of(Path(run.source), keys)
    entry = "config" + "".join(f"[{one!r}]" for one in keys)
    return f"{entry} ({place[0]}:{place[1]})" if place else entry
