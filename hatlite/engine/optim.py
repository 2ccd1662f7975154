"""Optimizers from config dicts, with parameter groups chosen by name.

``params={"weight": dict(weight_decay=4e-5)}`` gives every parameter whose name *contains* ``weight`` the listed
options; the first key that matches wins, and all others take the optimizer's own defaults. The rule is literal: the
scale of a batch norm is called ``bn.weight`` and decays too, as it does in the configs this format comes from.
Learned scales of activations, whose names end in ``log_scale``, do not decay: they have a group of their own, with the
options of the first key that contains ``log_scale`` if there is one.
"""

from collections.abc import Mapping
from typing import Any

import torch

from hatlite.errors import ConfigError
from hatlite.registry import OBJECT_REGISTRY, nearest

__all__ = ["build_optimizer", "parameter_groups"]

LEARNED_SCALE = "log_scale"


def parameter_groups(model: torch.nn.Module, rules: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Split the trainable parameters of `model`, empty groups left out: one per rule, the rest, learned scales.

    Args:
        model: Frozen parameters (``requires_grad`` false) join no group.
        rules: Substring of the parameter's name → options of its group.

    Raises:
        ConfigError: A rule matches no parameter.
    """
    groups = {key: {"params": [], **options} for key, options in rules.items()}
    rest: dict[str, Any] = {"params": []}
    scales: dict[str, Any] = {"params": [], "weight_decay": 0.0}
    names = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    for key in groups:
        if not any(key in name for name in names):
            text = f"config['optimizer']['params']: no parameter's name contains {key!r}; it would have no effect."
            raise ConfigError(f"{text}{nearest(key, names)}\n  Names look like {', '.join(names[:3])}.")
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            learned = name.endswith(LEARNED_SCALE)
            keys = (key for key in groups if key in name and (not learned or LEARNED_SCALE in key))
            key = next(keys, None)
            group = groups[key] if key is not None else scales if learned else rest
            group["params"].append(parameter)
    return [group for group in (*groups.values(), rest, scales) if group["params"]]


def build_optimizer(cfg: Mapping[str, Any], model: torch.nn.Module) -> torch.optim.Optimizer:
    """Build the optimizer of `cfg` over the parameters of `model`.

    Args:
        cfg: ``dict(type=torch.optim.SGD, lr=0.01, params={...}, …)``; ``params`` holds the rules and may be missing.
        model: What is to be trained.
    """
    rules = cfg.get("params", {})
    options = {key: value for key, value in cfg.items() if key != "params"}
    return OBJECT_REGISTRY.build(options, path="['optimizer']", params=parameter_groups(model, rules))
