"""Gradients of some modules, scaled before the optimizer sees them."""

from collections.abc import Sequence
from typing import Any

import torch

from hatlite.engine.callbacks.freeze import modules_called
from hatlite.engine.loop import Callback
from hatlite.errors import ConfigError
from hatlite.registry import OBJECT_REGISTRY

__all__ = ["GradScale"]


@OBJECT_REGISTRY.register
class GradScale(Callback):
    """Multiplies the gradients of modules while they are computed; where two entries meet, both count.

    Args:
        module_and_scale: Pairs (path, scale): a path inside the network as ``FreezeModule`` reads it, and a factor, 0
            or above. What lies below a module follows it.
        clip_grad_norm: Largest L2 norm of all gradients together, after scaling; sets the batch processor's. None
            leaves that as it is.

    Raises:
        ConfigError: An entry is no such pair. When training starts: a path names no module, or the batch processor has
            another `clip_grad_norm`.
    """

    def __init__(self, module_and_scale: Sequence[Sequence[Any]], clip_grad_norm: float | None = None) -> None:
        for entry in module_and_scale:
            if len(entry) != 2 or not isinstance(entry[0], str) or not entry[1] >= 0:
                text = f"GradScale: module_and_scale has the entry {entry!r}"
                raise ConfigError(f"{text}; expected (path, scale) with a scale of 0 or above.")
        self.module_and_scale = [(path, float(scale)) for path, scale in module_and_scale]
        self.clip_grad_norm = clip_grad_norm
        self.handles: list[Any] = []

    def on_loop_begin(self, loop: Any) -> None:
        """Listen to the parameters."""
        if self.clip_grad_norm is not None:
            other = loop.batch_processor.clip_grad_norm
            if other not in (None, self.clip_grad_norm):
                raise ConfigError(
                    f"GradScale: clip_grad_norm is {self.clip_grad_norm}, and the batch processor's is {other};"
                    " leave one of them out."
                )
            loop.batch_processor.clip_grad_norm = self.clip_grad_norm
        for path, scale in self.module_and_scale:
            inside = {id(p): p for module in modules_called(loop.model, path, "GradScale") for p in module.parameters()}
            self.handles += [p.register_hook(_Times(scale)) for p in inside.values() if p.requires_grad]

    def on_loop_end(self, loop: Any) -> None:
        """Leave the parameters as they were."""
        for handle in self.handles:
            handle.remove()
        self.handles = []


class _Times:
    """Multiplies; an object instead of a closure, so that each hook keeps its own scale."""

    def __init__(self, scale: float) -> None:
        self.scale = scale

    def __call__(self, gradient: torch.Tensor) -> torch.Tensor:
        return gradient * self.scale
