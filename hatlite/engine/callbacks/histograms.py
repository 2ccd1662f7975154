"""What histograms of a training are drawn from: weights, gradients and results of convolutions, by name."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from hatlite.engine.device import to_device
from hatlite.engine.evaluation import evaluating
from hatlite.quantization import FakeQuantGraph
from hatlite.quantization.sampling import in_memory_order
from hatlite.quantization.sites import ConvSite

__all__ = ["SAMPLE", "activations", "finite_values", "gradients", "parameters"]

SAMPLE = 2**18
"""Values of one convolution at most."""


def parameters(model: nn.Module) -> dict[str, torch.Tensor]:
    """Return ``weights/<name in the network>`` → parameter, detached."""
    return {f"weights/{_short(name)}": parameter.detach() for name, parameter in model.named_parameters()}


def gradients(model: nn.Module) -> dict[str, torch.Tensor]:
    """Return ``gradients/<name in the network>`` → gradient of the last step, of the parameters that have one."""
    named = {_short(name): parameter.grad for name, parameter in model.named_parameters()}
    return {f"gradients/{name}": gradient for name, gradient in named.items() if gradient is not None}


def activations(
    model: Any, img: torch.Tensor, device: torch.device, *, channels_last: bool = True
) -> dict[str, torch.Tensor]:
    """Return ``activations/<path>`` → results of a convolution, at most :data:`SAMPLE` of them drawn at random.

    A float network shows what its convolutions return. A fake-quant graph shows what they are in its mode, integers or
    real values, behind the batch norm and the ReLU that were folded into them. The second call of a module that is
    called several times has ``_2`` behind its path, and so on. Modes and random generators stay as they are.

    Args:
        model: A detector.
        img: (N, 3, H, W) float32.
        device: Where the model is.
        channels_last: Memory layout of the images.
    """
    found: dict[str, torch.Tensor] = {}
    calls: Counter[str] = Counter()

    def keep(path: str, values: torch.Tensor) -> None:
        calls[path] += 1
        number = f"_{calls[path]}" if calls[path] > 1 else ""
        found[f"activations/{path}{number}"] = _sampled(in_memory_order(values.detach()).flatten())

    batch = to_device({"img": img}, device, channels_last)
    with evaluating(model):
        if isinstance(model.network, FakeQuantGraph):
            _show_sites(model.network, batch["img"], keep)
        else:
            _show_modules(model.network, batch["img"], keep)
    return found


def finite_values(values: torch.Tensor) -> NDArray[np.float64]:
    """Return the values that are neither NaN nor infinite, which have no place in a histogram, (n,)."""
    array = values.flatten().double().cpu().numpy()
    return array[np.isfinite(array)]


def _short(name: str) -> str:
    return name.removeprefix("network.")


def _show_sites(graph: FakeQuantGraph, img: torch.Tensor, keep: Callable[[str, torch.Tensor], None]) -> None:
    def show(name: str, values: torch.Tensor) -> None:
        site = graph.sites[name]
        if isinstance(site, ConvSite):
            keep(site.path, values)

    graph.show(img, show)


def _show_modules(network: nn.Module, img: torch.Tensor, keep: Callable[[str, torch.Tensor], None]) -> None:
    convolutions = {path: m for path, m in network.named_modules() if isinstance(m, (nn.Conv2d, nn.ConvTranspose2d))}
    hooks = [
        module.register_forward_hook(lambda _, __, values, path=path: keep(path, values))
        for path, module in convolutions.items()
    ]
    try:
        network(img)
    finally:
        for hook in hooks:
            hook.remove()


def _sampled(values: torch.Tensor) -> torch.Tensor:
    """Return `values`, (n,), or SAMPLE of them: always the same places, and torch's own generator is not asked."""
    if len(values) <= SAMPLE:
        return values.clone()
    places = torch.randint(len(values), (SAMPLE,), generator=torch.Generator().manual_seed(0))
    return values[places.to(values.device)]
