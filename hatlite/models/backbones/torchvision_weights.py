"""Weights of torchvision's classifiers, read into backbones under their own names."""

from collections.abc import Callable, Mapping

import torch
from torch import nn

from hatlite.errors import CheckpointError

__all__ = ["load_renamed"]

NAMES_SHOWN = 3


def load_renamed(
    module: nn.Module,
    weights: Mapping[str, torch.Tensor],
    rename: Callable[[str], str | None],
    *,
    optional: Callable[[str], bool],
    path: str,
    expected: str,
) -> list[str]:
    """Load `weights` into `module`, all of it, and return the names that it has no place for.

    Args:
        module: Every entry of its state dict is replaced.
        weights: Name → tensor.
        rename: Their name → the module's; None for a name that no such file has.
        optional: Whether the module may do without an entry, by its name in the module.
        path: Where they are from, for messages.
        expected: What they should be, for messages.

    Raises:
        CheckpointError: They are of another network.
    """
    renamed = {name: rename(name) for name in weights}
    own = module.state_dict()
    given = {ours: weights[theirs] for theirs, ours in renamed.items() if ours is not None}
    surplus = [theirs for theirs, ours in renamed.items() if ours not in own]
    unknown = [theirs for theirs in surplus if not optional(renamed[theirs] or "")]
    missing = [name for name in own if name not in given]
    shapes = [
        f"{theirs} {list(weights[theirs].shape)} instead of {list(own[ours].shape)}"
        for theirs, ours in renamed.items()
        if ours in own and weights[theirs].shape != own[ours].shape
    ]
    for verb, names in (("lacks", missing), ("has unknown", unknown), ("has other shapes for", shapes)):
        if names:
            more = f" and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else ""
            text = f"{path} does not fit {expected}: it {verb} {', '.join(names[:NAMES_SHOWN])}{more}."
            raise CheckpointError(f"{text} Name a file of that network, or remove model['pretrained'].")
    module.load_state_dict(given, strict=False)
    return surplus
