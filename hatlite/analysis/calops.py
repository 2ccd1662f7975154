"""How much work is a network? Multiply-accumulates of its convolutions and linear layers, and its parameters.

One multiplication with its addition is one MAC. A module that runs on five levels counts five times, its parameters
once. Biases, batch norms, adds, pools and resizes are not MACs.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from hatlite.errors import ConfigError
from hatlite.graph import capture

__all__ = ["METHODS", "Counts", "count", "parse_shape"]


@dataclass(frozen=True)
class Counts:
    """What :func:`count` found.

    Attributes:
        layers: (module path, MACs) of every call, in the order of the calls.
        parameters: Number of parameters.
    """

    layers: tuple[tuple[str, int], ...]
    parameters: int

    @property
    def macs(self) -> int:
        """MACs of all calls."""
        return sum(macs for _, macs in self.layers)

    def by_part(self) -> dict[str, int]:
        """Return MACs per child of the network: backbone, neck, head."""
        parts: dict[str, int] = {}
        for path, macs in self.layers:
            part = path.partition(".")[0]
            parts[part] = parts.get(part, 0) + macs
        return parts


def parse_shape(text: str) -> tuple[int, int, int, int]:
    """Return the (N, C, H, W) that ``"1,3,512,512"`` spells.

    Raises:
        ConfigError: These are not four whole numbers above 0.
    """
    parts = [part.strip() for part in text.split(",")]
    if len(parts) != 4 or not all(part.isdecimal() and int(part) > 0 for part in parts):
        raise ConfigError(f"input shape is {text!r}; expected four whole numbers N,C,H,W above 0, such as 1,3,512,512.")
    n, channels, height, width = map(int, parts)
    return n, channels, height, width


def count(network: nn.Module, shape: Sequence[int], method: str = "hook") -> Counts:
    """Run `network` once on zeros and count.

    Args:
        network: Takes one (N, C, H, W) float32 tensor.
        shape: (N, C, H, W).
        method: ``hook`` watches the modules while they run; ``fx`` walks the captured graph, as quantisation sees it.

    Raises:
        ConfigError: The method is unknown, or the network cannot take an input of this shape.
        CaptureError: With ``fx``: the network cannot be captured.
    """
    if method not in METHODS:
        raise ConfigError(f"method is {method!r}; expected one of {', '.join(METHODS)}.")
    was_training = network.training
    network.eval()
    try:
        with torch.no_grad():
            layers = METHODS[method](network, torch.zeros(*shape))
    except RuntimeError as cause:
        reason = str(cause).strip().partition("\n")[0].rstrip(".")
        divisor = max(getattr(network, "output_strides", {}).values(), default=1)
        odd = any(side % divisor for side in shape[2:])
        asked = f"\n  Height and width must be multiples of {divisor}." if odd else ""
        raise ConfigError(f"The network cannot take an input of shape {tuple(shape)}: {reason}.{asked}") from cause
    finally:
        network.train(was_training)
    return Counts(tuple(layers), sum(parameter.numel() for parameter in network.parameters()))


def _conv_macs(module: nn.Conv2d, x: torch.Tensor, output: torch.Tensor) -> int:
    return output.numel() * module.weight[0].numel()


def _conv_transpose_macs(module: nn.ConvTranspose2d, x: torch.Tensor, output: torch.Tensor) -> int:
    return x.numel() * module.weight[0].numel()  # every input value meets every tap, those beyond the edge included


def _linear_macs(module: nn.Linear, x: torch.Tensor, output: torch.Tensor) -> int:
    return output.numel() * module.in_features


MACS: dict[type[nn.Module], Callable[[Any, torch.Tensor, torch.Tensor], int]] = {
    nn.Conv2d: _conv_macs,
    nn.ConvTranspose2d: _conv_transpose_macs,
    nn.Linear: _linear_macs,
}
"""MACs of a call from (module, input, output)."""


def _macs(module: nn.Module, x: torch.Tensor, output: torch.Tensor) -> int | None:
    return next((row(module, x, output) for kind, row in MACS.items() if isinstance(module, kind)), None)


def _by_hook(network: nn.Module, image: torch.Tensor) -> list[tuple[str, int]]:
    found: list[tuple[str, int]] = []

    def watch(path: str) -> Callable:
        return lambda module, inputs, output: found.append((path, _macs(module, *inputs, output) or 0))

    counted = [(path, module) for path, module in network.named_modules() if isinstance(module, tuple(MACS))]
    handles = [module.register_forward_hook(watch(path)) for path, module in counted]
    try:
        network(image)
    finally:
        for handle in handles:
            handle.remove()
    return found


def _by_fx(network: nn.Module, image: torch.Tensor) -> list[tuple[str, int]]:
    graph = capture(network)
    values, found = {graph.input: image}, []
    for call in graph.calls:
        inputs = [values[name] for name in call.inputs]
        values[call.name] = call.module(*inputs)
        macs = _macs(call.module, inputs[0], values[call.name]) if inputs else None
        if macs is not None:
            found.append((call.path, macs))
    return found


METHODS: dict[str, Callable[[nn.Module, torch.Tensor], list[tuple[str, int]]]] = {"hook": _by_hook, "fx": _by_fx}
"""Ways to count; both give the same numbers."""
