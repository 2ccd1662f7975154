"""The counts of a config's network, built with random weights."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch

from hatlite.analysis import Counts, count, parse_shape
from hatlite.engine.agreement import check_size
from hatlite.engine.parts import build_deployed
from hatlite.engine.run import Run
from hatlite.engine.sections import section
from hatlite.errors import ConfigError

__all__ = ["CALOPS_KEYS", "complexity_of"]

CALOPS_KEYS: dict[str, Any] = {"method": Literal["hook", "fx"], "input_shape": str | Sequence[int]}
"""Keys of ``calops_cfg``."""


def complexity_of(
    run: Run, shape: Sequence[int] | None = None, method: str | None = None, *, device: str = "cpu"
) -> Counts:
    """Count the network of ``config['deploy_model']``, else ``config['model']``.

    Args:
        run: Config and where it came from; no data and no checkpoint is read.
        shape: (N, C, H, W) of the input; None takes ``calops_cfg['input_shape']``, else that of ``deploy_inputs``,
            else of the one image size that the model takes.
        method: ``hook`` or ``fx``; None takes ``calops_cfg['method']``, else ``hook``.
        device: Where the network runs; on ``meta`` nothing is computed.

    Raises:
        ConfigError: The config sets no model, an entry of ``calops_cfg`` is wrong, or there is no shape or one
            that the model does not take.
        CaptureError: With ``fx``: the network cannot be captured.
    """
    cfg = section(run.config, "calops_cfg", CALOPS_KEYS)
    _, model = build_deployed(run)
    chosen = method or cfg.get("method", "hook")
    size = shape or _shape(run, cfg, model)
    check_size(model, torch.Size(size), "The input of calops")
    return count(getattr(model, "network", model).to(device), size, chosen)


def _shape(run: Run, cfg: Mapping[str, Any], model: Any) -> Sequence[int]:
    if "input_shape" in cfg:
        given = cfg["input_shape"]
        return parse_shape(given if isinstance(given, str) else ",".join(map(str, given)))
    if "deploy_inputs" in run.config:
        return run.config["deploy_inputs"]["img"].shape
    if getattr(model, "input_size", None) is not None:
        return (1, 3, *model.input_size)
    raise ConfigError(
        f"{run.source} has neither calops_cfg nor deploy_inputs, so the size of the image is unknown; give it, such as"
        ' --input-shape "1,3,512,512".'
    )
