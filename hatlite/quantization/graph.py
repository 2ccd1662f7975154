"""The fake-quant graph: the module that QAT trains and that is lowered to integers."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import nn

from hatlite.errors import QuantizationError
from hatlite.ops.exact import exact_float32
from hatlite.quantization.observer import Observer
from hatlite.quantization.scale_groups import give_parameters, tie_scales
from hatlite.quantization.sites import BatchStatistics, Site

__all__ = ["FakeQuantGraph"]


@contextmanager
def _naming(site: Site) -> Iterator[None]:
    """Let a problem say at which site it came up."""
    try:
        yield
    except QuantizationError as problem:
        if site.path in str(problem):
            raise
        raise QuantizationError(f"{site.path} ({site.line}): {problem}") from None


class FakeQuantGraph(nn.Module):
    """A network as sites in order, ``img → dict[str, Tensor]`` like the float network that it replaces.

    Children of the float network stay children here under their names; ``sites`` is added. In ``calibrate`` mode values
    are real and observers watch; in ``integer`` mode they are integer-valued float32 tensors, in train and eval alike.

    Args:
        network: The float network.
        sites: All sites in order, the input first.
        outputs: Output name → site name.
        bn_freeze_epoch: Epochs after which batch norms that follow their batches freeze; None never freezes them.
    """

    def __init__(
        self,
        network: nn.Module,
        sites: Mapping[str, Site],
        outputs: Mapping[str, str],
        bn_freeze_epoch: int | None = None,
    ) -> None:
        super().__init__()
        for name, child in network.named_children():
            self.add_module(name, child)
        self.sites = nn.ModuleDict(sites)
        self.scale_groups = tie_scales(sites.values())
        self.learns_scales = give_parameters(sites.values())
        for site in sites.values():
            if site.is_fixed:  # known before calibration
                site.ask_scale()
                site.take_scale()
        self.bn_freeze_epoch = bn_freeze_epoch
        self.outputs = dict(outputs)
        self.mode = "calibrate"
        self.batches_observed = 0
        self._last_reader = {name: site.name for site in sites.values() for name in (s.name for s in site.inputs)}

    def calibrate_mode(self) -> None:
        """Compute on real values and let the observers watch."""
        self.mode = "calibrate"

    def integer_mode(self) -> None:
        """Compute on integers; needs scales from :meth:`finish_calibration` or a checkpoint."""
        for site in self.sites.values():
            site.require_calibrated()
        self.mode = "integer"

    def finish_calibration(self) -> None:
        """Turn what the observers saw into scales, refresh all constants and go to integer mode."""
        if not self.batches_observed:
            raise QuantizationError("Calibration saw no image; run at least one batch in calibrate mode first.")
        for statistics in self._batch_statistics():
            statistics.restart()
        for site in self.sites.values():
            site.ask_scale()
        self._take_scales()
        self._refresh_sites()
        self.integer_mode()

    def begin_epoch(self, epoch: int) -> None:
        """Freeze the batch norms when their time has come; `epoch` epochs of qat are finished."""
        for statistics in self._batch_statistics():
            statistics.frozen = self.bn_freeze_epoch is not None and epoch >= self.bn_freeze_epoch

    def _batch_statistics(self) -> list[BatchStatistics]:
        return [module for module in self.sites.modules() if isinstance(module, BatchStatistics)]

    def _take_scales(self) -> None:
        """In order, a group when its first member comes: what an addition reads is then decided before it is."""
        for site in self.sites.values():
            if site.observer is not None:
                site.scale.fill_(torch.nan)
        settle = {group.members[0].name: group.settle for group in self.scale_groups}
        for name, site in self.sites.items():
            with _naming(site):
                if name in settle:
                    settle[name]()
                site.take_scale()

    def refresh(self) -> None:
        """Take over what has been learned: batch statistics, learned scales, and all constants made of parameters."""
        for statistics in self._batch_statistics():
            statistics.take_over()
        if self.learns_scales:
            self._take_scales()
        self._refresh_sites()

    def _refresh_sites(self) -> None:
        """Take weight scales, multipliers and shifts from the current parameters, in order."""
        for site in self.sites.values():
            with _naming(site):
                site.refresh()

    def forward(self, img: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return the named outputs as real values, (N, C, H, W) float32.

        Args:
            img: (N, C, H, W) float32.
        """
        values = self._run(img, keep=set(self.outputs.values()))
        self.batches_observed += self.mode == "calibrate"
        if self.mode == "calibrate":
            return {name: values[site] for name, site in self.outputs.items()}
        return {name: self.sites[site].dequantize(values[site]) for name, site in self.outputs.items()}

    def integers(self, img: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return the integer result of every site by name, as integer-valued floats."""
        self.integer_mode()
        return self._run(img, keep=set(self.sites))

    @torch.no_grad()
    def watch(
        self, img: torch.Tensor, observers: Mapping[str, Observer], keep: Iterable[str] = ()
    ) -> dict[str, torch.Tensor]:
        """Show real values to other observers than the sites' own; this counts as no calibration.

        Args:
            img: (N, C, H, W) float32.
            observers: Site name → observer; all other sites are watched by none.
            keep: Names of the sites whose results are wanted.

        Returns:
            Site name → real result, for the names in `keep` and for sites that nothing reads.
        """
        own = {name: site.observer for name, site in self.sites.items()}
        mode, self.mode = self.mode, "calibrate"
        try:
            for name, site in self.sites.items():
                site.observer = observers.get(name)
            return self._run(img, keep=set(keep))
        finally:
            self.mode = mode
            for name, site in self.sites.items():
                site.observer = own[name]

    def record_shapes(self, example: torch.Tensor) -> None:
        """Give every site the shape of its result for `example`."""
        for name, value in self.watch(example, {}, keep=self.sites).items():
            self.sites[name].shape = tuple(value.shape[1:])

    def _run(self, img: torch.Tensor, keep: set[str]) -> dict[str, torch.Tensor]:
        """Run all sites; a value is dropped behind its last reader unless it is in `keep`."""
        integer = self.mode == "integer"
        values: dict[str, torch.Tensor] = {}
        with exact_float32():
            for name, site in self.sites.items():
                inputs = [values[source.name] for source in site.inputs] if site.inputs else [img]
                values[name] = site.forward_integer(*inputs) if integer else site.forward_float(*inputs)
                for source in {source.name for source in site.inputs}:
                    if self._last_reader[source] == name and source not in keep:
                        del values[source]
        return values
