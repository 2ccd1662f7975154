"""How much work is a network? Operations by kind under two counting rules, and parameters.

One multiplication with its addition is one MAC. A module that runs on five levels counts five times, its parameters
once. The two rules (:data:`RULES`):

* ``convolutions``: MACs of convolutions and linear layers, and nothing else.
* ``mmcv``: what the counter of mmcv and mmdetection, and before it flops-counter.pytorch, calls MACs: those, a bias per
  output of a convolution, 2 per input of an affine batch norm, 1 per output of a ReLU and its kind and of
  ``nn.Upsample``, 1 per input of a pool. Batch norms count as they stand, not folded. Functional interpolation,
  additions, concatenations, softmax and norms of other kinds count nothing, nor does what follows the network.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import nn

from hatlite.errors import CaptureError, ConfigError
from hatlite.graph import capture

__all__ = ["METHODS", "RULES", "Counts", "Part", "Work", "count", "parse_shape"]


class Work(NamedTuple):
    """What one call of the module at `path` costs of one kind, a key of :data:`KINDS`."""

    path: str
    kind: str
    operations: int


class Part(NamedTuple):
    """A module: its path, its class, and the number of the parameters that are its own, not its children's."""

    path: str
    type: str
    parameters: int


@dataclass(frozen=True)
class Counts:
    """What :func:`count` found.

    Attributes:
        shape: (N, C, H, W) of the input.
        work: Of every call, in the order of the calls.
        parts: Every module once, parents before children; the first is the network itself, its path is empty.
    """

    shape: tuple[int, ...]
    work: tuple[Work, ...]
    parts: tuple[Part, ...]

    @property
    def parameters(self) -> int:
        """Number of parameters."""
        return sum(part.parameters for part in self.parts)

    def total(self, rule: str = "convolutions") -> int:
        """Return the MACs of all calls by one of :data:`RULES`."""
        return sum(work.operations for work in self.work if work.kind in RULES[rule])

    def by_kind(self) -> dict[str, int]:
        """Return the operations of every kind that occurs."""
        kinds: Counter[str] = Counter()
        for work in self.work:
            kinds[work.kind] += work.operations
        return dict(kinds)


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
        network: Takes one (N, C, H, W) float32 tensor; on the device ``meta`` nothing is computed.
        shape: (N, C, H, W).
        method: ``hook`` watches the modules while they run; ``fx`` walks the captured graph, as quantisation sees it.

    Raises:
        ConfigError: The method is unknown, or the network cannot take an input of this shape.
        CaptureError: With ``fx``: the network cannot be captured.
    """
    if method not in METHODS:
        raise ConfigError(f"method is {method!r}; expected one of {', '.join(METHODS)}.")
    was_training = network.training
    device = next((parameter.device for parameter in network.parameters()), None)
    network.eval()
    try:
        with torch.no_grad():
            work = METHODS[method](network, torch.zeros(*shape, device=device))
    except CaptureError:  # a RuntimeError that says itself what is wrong
        raise
    except RuntimeError as cause:
        reason = str(cause).strip().partition("\n")[0].rstrip(".")
        raise ConfigError(f"The network cannot take an input of shape {tuple(shape)}: {reason}.") from cause
    finally:
        network.train(was_training)
    return Counts(tuple(shape), tuple(work), tuple(_parts(network)))


def _parts(network: nn.Module) -> list[Part]:
    own: Counter[str] = Counter()
    for name, parameter in network.named_parameters():  # each once, where it is met first
        own[name.rpartition(".")[0]] += parameter.numel()
    return [Part(path, type(module).__name__, own[path]) for path, module in network.named_modules()]


# ------------------------------------------------------------------------------------------ operations of one call


def _conv(module: nn.Conv2d, x: torch.Tensor, output: torch.Tensor) -> int:
    return output.numel() * module.weight[0].numel()


def _conv_transpose(module: nn.ConvTranspose2d, x: torch.Tensor, output: torch.Tensor) -> int:
    return x.numel() * module.weight[0].numel()  # every input value meets every tap, those beyond the edge included


def _linear(module: nn.Linear, x: torch.Tensor, output: torch.Tensor) -> int:
    return output.numel() * module.in_features


def _bias(module: nn.Conv2d | nn.ConvTranspose2d, x: torch.Tensor, output: torch.Tensor) -> int:
    return 0 if module.bias is None else output.numel()


def _norm(module: nn.BatchNorm2d, x: torch.Tensor, output: torch.Tensor) -> int:
    return x.numel() * (2 if module.affine else 1)


def _per_input(module: nn.Module, x: torch.Tensor, output: torch.Tensor) -> int:
    return x.numel()


def _per_output(module: nn.Module, x: torch.Tensor, output: torch.Tensor) -> int:
    return output.numel()


Row = Callable[[Any, torch.Tensor, torch.Tensor], int]

_ACTIVATIONS = (nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.PReLU, nn.ELU)
_POOLS = (nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d)

KINDS: Mapping[str, Mapping[type[nn.Module], Row]] = {
    "convolution": {nn.Conv2d: _conv, nn.ConvTranspose2d: _conv_transpose},
    "linear": {nn.Linear: _linear},
    "bias": {nn.Conv2d: _bias, nn.ConvTranspose2d: _bias},
    "batch norm": {nn.BatchNorm2d: _norm},
    "activation": dict.fromkeys(_ACTIVATIONS, _per_output),
    "pooling": dict.fromkeys(_POOLS, _per_input),
    "upsampling": {nn.Upsample: _per_output},
}
"""Kind → module class → operations of a call from (module, input, output)."""

RULES: Mapping[str, tuple[str, ...]] = {"convolutions": ("convolution", "linear"), "mmcv": tuple(KINDS)}
"""Counting rule → the kinds that it counts as MACs."""


def _work(path: str, module: nn.Module, inputs: Sequence[torch.Tensor], output: torch.Tensor) -> list[Work]:
    found = []
    for kind, table in KINDS.items():
        row = next((row for cls, row in table.items() if isinstance(module, cls)), None)
        operations = row(module, inputs[0], output) if row else 0
        found += [Work(path, kind, operations)] if operations else []
    return found


_COUNTED = tuple({cls for table in KINDS.values() for cls in table})


def _by_hook(network: nn.Module, image: torch.Tensor) -> list[Work]:
    found: list[Work] = []

    def watch(path: str) -> Callable:
        return lambda module, inputs, output: found.extend(_work(path, module, inputs, output))

    counted = [(path, module) for path, module in network.named_modules() if isinstance(module, _COUNTED)]
    handles = [module.register_forward_hook(watch(path)) for path, module in counted]
    try:
        network(image)
    finally:
        for handle in handles:
            handle.remove()
    return found


def _by_fx(network: nn.Module, image: torch.Tensor) -> list[Work]:
    graph = capture(network)
    values, found = {graph.input: image}, []
    for call in graph.calls:
        inputs = [values[name] for name in call.inputs]
        values[call.name] = call.module(*inputs)
        if isinstance(call.module, _COUNTED):
            found += _work(call.path, call.module, inputs, values[call.name])
    return found


METHODS: dict[str, Callable[[nn.Module, torch.Tensor], list[Work]]] = {"hook": _by_hook, "fx": _by_fx}
"""Ways to count; both give the same numbers."""
