"""Batch norms become part of the layers before them, for good: their parameters and statistics are gone afterwards."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import nn

from hatlite.errors import QuantizationError
from hatlite.graph import capture
from hatlite.quantization.fuse import fuse

__all__ = ["FusedNorm", "fold_state", "fuse_batch_norms"]


@dataclass(frozen=True)
class FusedNorm:
    """Where a batch norm was, and the layer that has taken it.

    Attributes:
        layer: Name of the layer in its network.
        norm: Name of the batch norm.
        eps: Its epsilon.
    """

    layer: str
    norm: str
    eps: float


@torch.no_grad()
def fuse_batch_norms(network: nn.Module) -> tuple[FusedNorm, ...]:
    """Fold every batch norm behind a convolution or linear layer into weight and bias of the layer, in place.

    w ← w · γ / sqrt(σ² + ε), b ← (b − μ) · γ / sqrt(σ² + ε) + β; an identity takes the place of the batch norm, and the
    layer has a bias from now on. In eval mode the network computes what it computed.

    Args:
        network: As :func:`~hatlite.quantization.prepare` takes it.

    Returns:
        What was folded, in order; nothing where there are no batch norms.

    Raises:
        QuantizationError: A layer with a batch norm is called twice, so that it cannot take it.
        CaptureError: The network cannot be captured.
    """
    names = {id(module): name for name, module in network.named_modules()}
    captured = capture(network)
    items = [item for item in fuse(captured)[0] if item.batch_norm is not None]
    found = [FusedNorm(names[id(item.call.module)], names[id(item.batch_norm)], item.batch_norm.eps) for item in items]
    for item in items:
        layer = item.call.module
        if isinstance(layer, nn.ConvTranspose2d) or sum(call.module is layer for call in captured.calls) > 1:
            reason = "is called more than once" if isinstance(layer, (nn.Conv2d, nn.Linear)) else "is transposed"
            raise QuantizationError(
                f"{item.call.path} ({item.call.line}) {reason}, so that the batch norm behind it cannot become part of"
                " it; leave that batch norm out of the network."
            )
    folded = fold_state(network.state_dict(), found)
    for one in found:
        layer = network.get_submodule(one.layer)
        if layer.bias is None:
            layer.bias = nn.Parameter(layer.weight.new_zeros(len(layer.weight)))
        network.set_submodule(one.norm, nn.Identity())
    network.load_state_dict(folded)
    return tuple(found)


def fold_state(
    weights: Mapping[str, torch.Tensor], norms: tuple[FusedNorm, ...] | list[FusedNorm], prefix: str = ""
) -> dict[str, torch.Tensor]:
    """Return `weights`, name → tensor, with `norms` folded in, those that they have; computed in float64.

    Args:
        weights: A state dict.
        norms: What :func:`fuse_batch_norms` returned.
        prefix: Of the network's names among those of `weights`.
    """
    folded = dict(weights)
    for one in norms:
        layer, norm = f"{prefix}{one.layer}.", f"{prefix}{one.norm}."
        if f"{norm}running_var" not in folded:
            continue
        parts = {name.removeprefix(norm): folded.pop(name) for name in list(folded) if name.startswith(norm)}
        weight, mean = folded[f"{layer}weight"], parts["running_mean"].double()
        bias = folded.get(f"{layer}bias", torch.zeros_like(mean))
        factor = torch.rsqrt(parts["running_var"].double() + one.eps)
        factor = factor * parts["weight"].double() if "weight" in parts else factor
        shifted = (bias.double() - mean) * factor + (parts["bias"].double() if "bias" in parts else 0.0)
        folded[f"{layer}weight"] = (weight.double() * factor.reshape(-1, *[1] * (weight.ndim - 1))).to(weight)
        folded[f"{layer}bias"] = shifted.to(weight.dtype)
    return folded
