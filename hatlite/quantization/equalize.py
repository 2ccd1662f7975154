"""Cross-layer equalisation: channels of very different range share one scale, so give them one range first.

Between a layer and the only one that reads it, channel c may be divided by any s_c > 0 and the reader's weights
multiplied by it: a ReLU between them passes positive factors on, and the network computes what it computed, up to
rounding. Per-channel weight scales take the factors of the first layer for nothing; what is won is that its result
fills its 8 bits in every channel (Nagel et al. 2019, arXiv:1906.04721; the balance of ranges of activations against
ranges of weights is that of Xiao et al. 2022, arXiv:2211.10438).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import nn

from hatlite.errors import QuantizationError
from hatlite.quantization.graph import FakeQuantGraph
from hatlite.quantization.observer import Observer
from hatlite.quantization.sites import ConvSite, Site

__all__ = ["Pair", "check_balance", "equalize"]

LAYERS = (nn.Conv2d, nn.Linear)
LIMIT = 2.0**10
"""No factor is beyond this or below its inverse."""


@dataclass(frozen=True, eq=False)
class Pair:
    """A layer and the only layer that reads it, at every call.

    Attributes:
        writers: All sites of the first layer.
        readers: Their readers, all sites of the second one.
    """

    writers: tuple[ConvSite, ...]
    readers: tuple[ConvSite, ...]


class _ChannelMaximum(Observer):
    """The largest magnitude per channel, (C,)."""

    def __init__(self) -> None:
        self.seen = torch.zeros(())

    def observe(self, x: torch.Tensor) -> None:
        largest = x.detach().abs().amax([axis for axis in range(x.ndim) if axis != 1])
        if not bool(largest.isfinite().all()):
            raise QuantizationError(
                "equalisation met a value that is NaN or infinite; the float weights are broken, train them again."
            )
        self.seen = torch.maximum(self.seen.to(largest), largest)


def check_balance(balance: float) -> None:
    """Refuse a balance that :func:`equalize` cannot take.

    Raises:
        QuantizationError: It is outside 0…1.
    """
    if not 0.0 <= balance <= 1.0:
        raise QuantizationError(f"equalize: balance is {balance}; expected 0 ≤ balance ≤ 1.")


@torch.no_grad()
def equalize(graph: FakeQuantGraph, img: torch.Tensor, balance: float = 0.6) -> list[Pair]:
    """Equalise the channels between all pairs of layers that allow it; call it before calibration.

    With r_c the range of channel c and w_c the largest weight that reads it, the factor is r_c^a / w_c^(1 − a), a being
    `balance`; where the reader is depthwise and its channels have weight scales of their own, the factor is r_c.

    Args:
        graph: Its parameters are changed in place.
        img: (N, C, H, W) float32, some images of the data; they are looked at once.
        balance: 1 gives all channels the same range whatever it costs the weights of the reader, 0 the opposite.

    Returns:
        The pairs, in order.

    Raises:
        QuantizationError: `balance` is outside 0…1, or a value is NaN or infinite.
    """
    check_balance(balance)
    pairs = list(_pairs(graph))
    watching = {site.name: _ChannelMaximum() for pair in pairs for site in pair.writers}
    graph.watch(img, watching)
    for pair in pairs:
        ranges = torch.stack([watching[site.name].seen for site in pair.writers]).amax(0)
        _divide(pair, _factors(ranges, pair.readers[0], balance))
    return pairs


def _pairs(graph: FakeQuantGraph) -> Iterator[Pair]:
    """Find layers whose every result is read by one layer only, which reads nothing else; shared layers included."""
    read_by: dict[str, list[Site]] = {name: [] for name in graph.sites}
    used_by: dict[int, list[Site]] = {}
    for site in graph.sites.values():
        for source in site.inputs:
            read_by[source.name].append(site)
        for layer in getattr(site, "layers", ()):
            used_by.setdefault(id(layer), []).append(site)
    outputs = set(graph.outputs.values())
    for site in graph.sites.values():
        if not _is_free(site) or used_by[id(site.layer)][0] is not site:
            continue
        writers = used_by[id(site.layer)]
        readers = [reader for writer in writers for reader in read_by[writer.name]]
        one_each = all(len(read_by[writer.name]) == 1 and writer.name not in outputs for writer in writers)
        if (
            one_each
            and all(map(_is_free, writers))
            and _owns_its_shift(writers, used_by)
            and _are_all(readers, used_by)
        ):
            yield Pair(tuple(writers), tuple(readers))


def _is_free(site: Site) -> bool:
    """Return whether the channels of `site` may take factors: a plain layer whose scale calibration is to choose."""
    return type(site) is ConvSite and isinstance(site.layer, LAYERS) and site.free


def _are_all(readers: list[Site], used_by: dict[int, list[Site]]) -> bool:
    """Return whether `readers` are all calls of one layer."""
    layers = {id(getattr(reader, "layer", None)) for reader in readers}
    plain = all(type(reader) is ConvSite and isinstance(reader.layer, LAYERS) for reader in readers)
    return plain and len(layers) == 1 and len(readers) == len(used_by[layers.pop()])


def _owns_its_shift(writers: list[Site], used_by: dict[int, list[Site]]) -> bool:
    """Return whether what carries the factors, batch norms or else the layer, is used by `writers` alone."""
    norms = {id(site.layers[1]): site.layers[1] for site in writers}
    if any(norm is None for norm in norms.values()):
        return len(norms) == 1
    affine = all(norm.weight is not None and norm.bias is not None for norm in norms.values())
    return affine and sum(len(used_by[key]) for key in norms) == len(writers)


def _factors(ranges: torch.Tensor, reader: ConvSite, balance: float) -> torch.Tensor:
    """Return (C,) factors around 1; a channel that is never active, or never read, keeps 1."""
    largest = _by_input(reader.layer).abs().amax(dim=(1, 3)).flatten()
    own_scales = reader.layer.weight.shape[1] == 1 and reader.arithmetic.weight_scales[0] != "tensor"
    share = 1.0 if own_scales else balance
    alive = (ranges > 0) & (largest > 0)
    logs = torch.where(alive, share * ranges.log() - (1.0 - share) * largest.log(), 0.0)
    logs = torch.where(alive, logs - logs.sum() / alive.sum().clamp_min(1), 0.0)
    return logs.exp().clamp(1.0 / LIMIT, LIMIT)


def _by_input(layer: nn.Conv2d | nn.Linear) -> torch.Tensor:
    """Return the weight as a view (groups, O / groups, I / groups, taps): axes 0 and 2 are its input channels."""
    weight = layer.weight.data
    groups = layer.groups if isinstance(layer, nn.Conv2d) else 1
    return weight.reshape(groups, weight.shape[0] // groups, weight.shape[1], -1)


def _divide(pair: Pair, factors: torch.Tensor) -> None:
    """Divide the results of the first layer by `factors` and multiply the weights that read them.

    The parameters themselves are changed, not their ``data``, so that what is remembered of them is made anew.
    """
    layer, reader = pair.writers[0].layer, pair.readers[0].layer
    norms = {id(site.layers[1]): site.layers[1] for site in pair.writers if site.layers[1] is not None}
    for carrier in norms.values() or (layer,):
        shape = (-1, *[1] * (carrier.weight.ndim - 1))
        carrier.weight.div_(factors.reshape(shape))
        if carrier.bias is not None:
            carrier.bias.div_(factors)
    groups = reader.groups if isinstance(reader, nn.Conv2d) else 1
    scaled = _by_input(reader) * factors.reshape(groups, 1, -1, 1)
    reader.weight.copy_(scaled.reshape(reader.weight.shape))
