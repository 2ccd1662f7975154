"""What the forward of a fake-quant graph computes: real values that are observed, rounded ones, or integers."""

from dataclasses import replace
from typing import Any

import torch
from torch import nn

from hatlite.quantization.simulation import OBSERVED, Simulation
from hatlite.quantization.sites import ConvSite

__all__ = ["GraphModes"]


class GraphModes(nn.Module):
    """The modes of :class:`~hatlite.quantization.FakeQuantGraph`.

    Attributes:
        sites: Name → site, in order.
        mode: ``calibrate``, ``simulate`` or ``integer``.
        simulation: What is rounded on real values, in ``simulate`` mode, and of that the weights in ``calibrate`` mode
            too; None computes on integers. Where the march has unit scales it is both, until the gain edit.
    """

    sites: Any
    mode: str = "calibrate"
    simulation: Simulation | None = None

    @property
    def is_calibrated(self) -> bool:
        """Whether every site that has a scale knows it."""
        return not any(site.has_scale and bool(torch.isnan(site.scale)) for site in self.sites.values())

    def simulate(self, weights: bool = True, activations: bool = False) -> None:
        """Compute on real values from now on where integers would be computed.

        Args:
            weights: Round the weights. Their scales are those that they have between values of scale 1, taken anew at
                every :meth:`refresh`.
            activations: Clip and round the results of sites; needs scales.
        """
        self.simulation = Simulation(weights, activations)
        self.quantized_mode()

    def calibrate_mode(self) -> None:
        """Compute on real values and let the observers watch; weights are rounded where :attr:`simulation` says so."""
        self.mode = "calibrate"
        self._tell_sites(self._watched)

    def quantized_mode(self) -> None:
        """Compute what quantisation makes of the network: integers, or what is simulated in their place.

        A network whose scales are part of its weights computes on integers.
        """
        if self.gain_edits:
            self.simulation = None
        if self.simulation is None:
            self.integer_mode()
            return
        if self.simulation.activations:
            self.require_scales()
        self.mode = "simulate"
        self._tell_sites(self.simulation)

    def integer_mode(self) -> None:
        """Compute on integers; needs scales from :meth:`finish_calibration` or a checkpoint."""
        self.hold_unit_scales()
        for site in self.sites.values():
            site.require_integers()
        self.mode = "integer"
        self._tell_sites(OBSERVED)

    def require_scales(self) -> None:
        """Raise where a site has no scale yet."""
        for site in self.sites.values():
            site.require_calibrated()

    @property
    def gain_edits(self) -> int:
        """How often scales were folded into weights (:mod:`hatlite.quantization.gain_edit`): never or once."""
        return int(any(site.is_edited for site in self.sites.values()))

    def caps(self) -> dict[str, float]:
        """Return by path what the largest integer of each convolution and linear layer stands for in real numbers.

        After a gain edit it is what it was before.
        """
        sites = [site for site in self.sites.values() if isinstance(site, ConvSite) and site.has_scale]
        return {site.path: float(site.cap) if site.is_edited else site.largest_value() for site in sites}

    def take_unit_scales(self) -> None:
        """Give every value the scale that the march has, and compute on integers; weights stay as they are."""
        for site in self.sites.values():
            site.take_unit_scale()
        self.quantized_mode()
        self.refresh()

    def hold_unit_scales(self) -> None:
        """Let nothing move the scales of a network, just edited or loaded, whose scales are part of its weights."""
        for site in self.sites.values():
            site.hold_unit_scale()

    @property
    def _watched(self) -> Simulation:
        """What calibration rounds."""
        return OBSERVED if self.simulation is None else replace(OBSERVED, weights=self.simulation.weights)

    def _tell_sites(self, simulation: Simulation) -> None:
        """Tell all sites what their float forward rounds, and find the scales of weights where none are known."""
        for site in self.sites.values():
            site.simulation = simulation
            unknown = simulation.weights and isinstance(site, ConvSite) and bool(site.weight_scale.isnan().any())
            if unknown:
                site.refresh()
