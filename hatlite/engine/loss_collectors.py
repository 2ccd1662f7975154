"""Which of a model's losses are summed and learned from."""

import re
from collections.abc import Callable, Mapping

import torch

from hatlite.errors import ConfigError
from hatlite.registry import OBJECT_REGISTRY

__all__ = ["collect_loss_by_regex"]


@OBJECT_REGISTRY.register
def collect_loss_by_regex(loss_name_reg: str) -> Callable[[Mapping[str, torch.Tensor]], dict[str, torch.Tensor]]:
    """Return a ``loss_collector`` that takes the losses in whose name `loss_name_reg` is found.

    Args:
        loss_name_reg: A regular expression, such as ``"cls|reg"``.

    Raises:
        ConfigError: It is no regular expression; at the first step, no loss has such a name.
    """
    try:
        pattern = re.compile(loss_name_reg)
    except re.error as cause:
        text = f"collect_loss_by_regex: loss_name_reg is {loss_name_reg!r}, no regular expression: {cause}."
        raise ConfigError(text) from cause

    def collect(losses: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        found = {name: loss for name, loss in losses.items() if pattern.search(name)}
        if not found:
            text = f"collect_loss_by_regex: no loss is called like {loss_name_reg!r}; there are {', '.join(losses)}."
            raise ConfigError(text)
        return found

    return collect
