"""Bias correction without labels: what rounding adds to the mean of a channel is taken out of its bias.

Weights and activations that are rounded shift the mean of a result. Calibration can see by how much, image by image,
because it has both networks: bias += rate · decay^epoch · (mean in float − mean in integers), as TI's toolkit does in
calibration, and in the spirit of Nagel et al. 2019, arXiv:1906.04721, section 4.2.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import nn

from hatlite.errors import QuantizationError
from hatlite.quantization.graph import FakeQuantGraph
from hatlite.quantization.sites import ConvSite

__all__ = ["BiasCorrection", "check_correction"]

UNIT = 2.0**-32
"""Means are added up in whole numbers of this, so that no order of images changes a bit of the sum."""


def check_correction(rate: float, decay: float) -> None:
    """Refuse what :class:`BiasCorrection` cannot take.

    Raises:
        QuantizationError: `rate` or `decay` is outside 0…1.
    """
    for name, value in (("rate", rate), ("decay", decay)):
        if not 0.0 <= value <= 1.0:
            raise QuantizationError(f"BiasCorrection: {name} is {value}; expected 0 ≤ {name} ≤ 1.")


class BiasCorrection:
    """Corrects the biases of a calibrated graph, step by step.

    Between two updates it is shown images. Several processes may share them out: they add up their :attr:`sums` and
    all update with the total, which is the same to the bit as that of one process.

    Args:
        graph: In eval mode, with scales. Its biases (of batch norms, else of layers; layers without one are left
            alone) are changed by :meth:`update`; as they are now, they define the float network.
        rate: Share of the difference that an update of the first epoch takes over, 0…1.
        decay: What every further epoch multiplies the rate by, 0…1.

    Attributes:
        sums: (1 + C,) int64: the number of images, and for all channels of all corrected sites the sum of their
            differences in units of 2^−32.

    Raises:
        QuantizationError: The rate or the decay is outside 0…1, or the graph has no scales yet.
    """

    def __init__(self, graph: FakeQuantGraph, rate: float = 0.05, decay: float = 0.5) -> None:
        check_correction(rate, decay)
        graph.integer_mode()
        self.graph, self.rate, self.decay = graph, rate, decay
        self._sites: dict[str, nn.Parameter] = {}
        for name, site in graph.sites.items():
            bias = _bias_of(site) if isinstance(site, ConvSite) else None
            if bias is not None:
                self._sites[name] = bias
        parameters = {id(bias): bias for bias in self._sites.values()}.values()
        self._float = [(bias, bias.detach().clone()) for bias in parameters]
        channels = sum(len(bias) for bias in self._sites.values())
        device = next(iter(self._sites.values())).device if self._sites else None
        self.sums = torch.zeros(1 + channels, dtype=torch.int64, device=device)

    @torch.no_grad()
    def watch(self, img: torch.Tensor) -> None:
        """Compare both networks on `img`, (N, C, H, W) float32, one image after the other."""
        for one in img.split(1):  # what other images a batch holds changes nothing then
            with self._float_biases():
                real = self.graph.watch(one, {}, keep=self._sites)
            integers = self.graph.integers(one)
            differences = []
            for name, bias in self._sites.items():
                gap = real[name].double() - self.graph.sites[name].dequantize(integers[name]).double()
                per_channel = gap.transpose(0, 1).reshape(len(bias), -1).mean(1)  # phases of a channel side by side
                differences.append((per_channel / UNIT).round().long())
            self.sums += torch.cat([self.sums.new_ones(1), *differences])

    @torch.no_grad()
    def update(self, epoch: int, sums: torch.Tensor | None = None) -> float:
        """Move the biases and take the scales of weights anew; the sums start again at 0.

        Args:
            epoch: Epochs that are finished.
            sums: Total of all processes; None takes this one's.

        Returns:
            By how many steps of its result the mean of a channel was off, on average over the channels that can be
            corrected; raw accumulators are left out, and where there is nothing else it is 0.

        Raises:
            QuantizationError: No image was seen.
        """
        total = self.sums if sums is None else sums
        if not int(total[0]):
            raise QuantizationError("BiasCorrection: update without an image; call watch before it.")
        means = total[1:].double() * UNIT / total[0]
        parts = means.split([len(bias) for bias in self._sites.values()])
        off = self._steps_off(parts)
        for bias, _ in self._float:
            shares = [part for part, own in zip(parts, self._sites.values(), strict=True) if own is bias]
            step = self.rate * self.decay**epoch * torch.stack(shares).mean(0)  # of all calls of a shared layer
            bias.add_(step.to(bias))
        self.sums.zero_()
        self.graph.refresh()
        return off

    def _steps_off(self, parts: Sequence[torch.Tensor]) -> float:
        sites = [self.graph.sites[name] for name in self._sites]
        steps = [part.abs() / site.scale for part, site in zip(parts, sites, strict=True) if not site.raw]
        return float(torch.cat(steps).mean()) if steps else 0.0

    @contextmanager
    def _float_biases(self) -> Iterator[None]:
        """Let the biases be those of the float network inside."""
        corrected = [bias.detach().clone() for bias, _ in self._float]
        for bias, first in self._float:
            bias.copy_(first)
        try:
            yield
        finally:
            for (bias, _), own in zip(self._float, corrected, strict=True):
                bias.copy_(own)


def _bias_of(site: ConvSite) -> nn.Parameter | None:
    """Return the parameter that shifts the result of `site`; None if it has none."""
    layer, norm = site.layers
    return layer.bias if norm is None else norm.bias
