"""The fake-quant graph: the module that QAT trains and that is lowered to integers."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn

from hatlite.errors import QuantizationError
from hatlite.log import get_logger
from hatlite.nn import DeQuantStub
from hatlite.ops.exact import exact_float32
from hatlite.quantization.modes import GraphModes
from hatlite.quantization.observer import Observer
from hatlite.quantization.output_gains import share_range
from hatlite.quantization.scale_groups import give_parameters, keep_what_is_asked, tie_scales
from hatlite.quantization.simulation import Simulation
from hatlite.quantization.sites import BatchStatistics, RunningRange, Site

__all__ = ["FakeQuantGraph", "FreezeEpochs"]

logger = get_logger(__name__)

FreezeEpoch = int | Literal["half"] | None


@dataclass(frozen=True)
class FreezeEpochs:
    """After how many epochs of qat that which moves with the batches stays as it is.

    ``"half"`` is where TI's toolkit stops: batch norms one epoch before half of the epochs, rounded down, are over,
    but after one at least; ranges one epoch behind it. None never stops.

    Attributes:
        bn: For the running statistics of batch norms.
        ranges: For the ranges of activations.
    """

    bn: FreezeEpoch = None
    ranges: FreezeEpoch = None

    def of(self, num_epochs: int) -> tuple[int | None, int | None]:
        """Return both as numbers, for a training of `num_epochs`."""
        half = num_epochs // 2
        return max(half - 1, 1) if self.bn == "half" else self.bn, half + 1 if self.ranges == "half" else self.ranges


@contextmanager
def _naming(site: Site) -> Iterator[None]:
    """Let a problem say at which site it came up."""
    try:
        yield
    except QuantizationError as problem:
        if site.path in str(problem):
            raise
        raise QuantizationError(f"{site.path} ({site.line}): {problem}") from None


def _freeze(what: str, shadows: Iterable[BatchStatistics | RunningRange], after: int | None, epoch: int) -> None:
    """Freeze `shadows` once `after` epochs are finished, and say so when they were not."""
    frozen = after is not None and epoch >= after
    shadows = list(shadows)
    if frozen and not all(shadow.frozen for shadow in shadows):
        logger.info("After %d epochs the %s are frozen.", epoch, what)
    for shadow in shadows:
        shadow.frozen = frozen


class FakeQuantGraph(GraphModes):
    """A network as sites in order, ``img → dict[str, Tensor]`` like the float network that it replaces.

    Children of the float network stay children here under their names; ``sites`` is added. In ``calibrate`` mode values
    are real and observers watch; in ``integer`` mode they are integer-valued float32 tensors, in train and eval alike.
    ``simulate`` mode, on real and rounded values, takes the place of the second where :attr:`simulation` says so.

    Args:
        network: The float network.
        sites: All sites in order, the input first.
        outputs: Output name → site name.
        freeze_epochs: When what follows the batches stops.
        stubs: Output name → the stub that it leaves through, whose gain counts.
    """

    def __init__(
        self,
        network: nn.Module,
        sites: Mapping[str, Site],
        outputs: Mapping[str, str],
        freeze_epochs: FreezeEpochs | None = None,
        stubs: Mapping[str, DeQuantStub] | None = None,
    ) -> None:
        super().__init__()
        for name, child in network.named_children():
            self.add_module(name, child)
        self.sites = nn.ModuleDict(sites)
        self.scale_groups = tie_scales(sites.values())
        give_parameters(sites.values())
        self.scales_move = keep_what_is_asked(sites.values())
        for site in sites.values():
            if site.is_fixed:  # known before calibration
                site.ask_scale()
                site.take_scale()
        self.freeze_epochs = freeze_epochs or FreezeEpochs()
        self.outputs = dict(outputs)
        self.stubs = dict(stubs or {})  # a dict, as they are modules of the network already
        unit_scales = any(site.arithmetic.unit_scales for site in sites.values())
        self.simulation = Simulation(weights=True, activations=True) if unit_scales else None
        self.batches_observed = 0
        self._last_reader = {name: site.name for site in sites.values() for name in (s.name for s in site.inputs)}

    def finish_calibration(self) -> None:
        """Turn what the observers saw into scales, refresh all constants and go to :meth:`quantized_mode`."""
        if not self.batches_observed:
            raise QuantizationError("Calibration saw no image; run at least one batch in calibrate mode first.")
        for statistics in self._batch_statistics():
            statistics.restart()
        for name, output in self.outputs.items():
            share_range(self.sites[output], self.stubs[name])
        for site in self.sites.values():
            site.ask_scale(self.batches_observed)
        self._take_scales()
        for site in self.sites.values():
            site.say_floor()
        self._refresh_sites()
        self.quantized_mode()

    def begin_epoch(self, epoch: int, num_epochs: int) -> None:
        """Freeze batch norms and ranges when their time has come.

        Args:
            epoch: Epochs of qat that are finished.
            num_epochs: Epochs that it takes in all.
        """
        bn, ranges = self.freeze_epochs.of(num_epochs)
        _freeze("statistics of batch norms", self._batch_statistics(), bn, epoch)
        _freeze("ranges of activations", self._running_ranges(), ranges, epoch)

    def end_step(self, merge: Callable[[dict[str, Observer]], Mapping[str, Observer]] = dict) -> None:
        """Move the running ranges by what the batches since the last call have shown; a refresh takes them over.

        Args:
            merge: Makes of what the batches of this process have shown, site name → observer, what those of all
                processes have. It is called where ranges run and are not frozen.
        """
        running = {name: site.running_range for name, site in self.sites.items() if site.running_range is not None}
        shown = {name: running_range.take_seen() for name, running_range in running.items()}
        seen = {name: observer for name, observer in shown.items() if observer is not None}
        if seen:
            for name, observer in merge(seen).items():
                self.sites[name].follow_step(observer)

    def _batch_statistics(self) -> list[BatchStatistics]:
        return [module for module in self.sites.modules() if isinstance(module, BatchStatistics)]

    def _running_ranges(self) -> list[RunningRange]:
        return [site.running_range for site in self.sites.values() if site.running_range is not None]

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
        """Take over what training has moved: batch statistics, ranges, learned scales, and constants of parameters."""
        for statistics in self._batch_statistics():
            statistics.take_over()
        if self.scales_move and self.is_calibrated:
            for site in self.sites.values():
                site.ask_followed()
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
        if self.mode != "integer":
            return {name: self.stubs[name](values[site]) for name, site in self.outputs.items()}
        return {
            name: self.stubs[name].scaled(values[site].float(), self.sites[site].output_scale())
            for name, site in self.outputs.items()
        }

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
        own = {name: (site.observer, site.simulation) for name, site in self.sites.items()}
        mode, self.mode = self.mode, "calibrate"
        try:
            for name, site in self.sites.items():
                site.observer, site.simulation = observers.get(name), self._watched
            return self._run(img, keep=set(keep))
        finally:
            self.mode = mode
            for name, site in self.sites.items():
                site.observer, site.simulation = own[name]

    @torch.no_grad()
    def show(self, img: torch.Tensor, to: Callable[[str, torch.Tensor], None]) -> None:
        """Hand the result of every site to `to`, by its name, as the mode that the graph is in computes it.

        Args:
            img: (N, C, H, W) float32.
            to: Called in the order of the sites; a result that it does not keep is dropped. While calibrating, the
                observers watch too.
        """
        self._run(img, keep=set(), to=to)

    def record_shapes(self, example: torch.Tensor) -> None:
        """Give every site the shape of its result for `example`."""
        for name, value in self.watch(example, {}, keep=self.sites).items():
            self.sites[name].shape = tuple(value.shape[1:])

    def _run(
        self, img: torch.Tensor, keep: set[str], to: Callable[[str, torch.Tensor], None] | None = None
    ) -> dict[str, torch.Tensor]:
        """Run all sites; a value is dropped behind its last reader unless it is in `keep`."""
        integer = self.mode == "integer"
        values: dict[str, torch.Tensor] = {}
        with nullcontext() if self.mode == "simulate" else exact_float32():
            for name, site in self.sites.items():
                inputs = [values[source.name] for source in site.inputs] if site.inputs else [img]
                values[name] = site.forward_integer(*inputs) if integer else site.forward_float(*inputs)
                if to is not None:
                    to(name, values[name])
                for source in {source.name for source in site.inputs}:
                    if self._last_reader[source] == name and source not in keep:
                        del values[source]
        return values
