"""Calibration: show the fake-quant graph some images, in one process or several, fix its scales, correct its biases."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, ClassVar

import torch

from hatlite.data.loader import set_epoch, share_batches
from hatlite.engine.correction import Correcting
from hatlite.engine.device import place, to_device
from hatlite.engine.evaluation import evaluating
from hatlite.engine.loop import Callback, Loop
from hatlite.engine.processes import copy_parameters, merge_observers, process
from hatlite.engine.weights_hash import WEIGHTS_HASH, weights_hash
from hatlite.errors import ConfigError
from hatlite.files import whole_file
from hatlite.log import get_logger
from hatlite.metrics import Metric
from hatlite.quantization import check_balance, format_ranges, site_ranges
from hatlite.quantization import equalize as equalize_channels
from hatlite.registry import OBJECT_REGISTRY

__all__ = ["Calibrator", "calibrate_briefly"]

logger = get_logger(__name__)

BRIEFLY = 10
"""Batches that give training a start where no calibration went before."""


@torch.no_grad()
def calibrate_briefly(loop: Loop) -> int:
    """Fix the open scales of ``loop.model`` on the first batches of its own loader; return how many it took.

    Batch norms keep their statistics meanwhile. Processes merge what they saw.
    """
    place(loop.model, loop.device, loop.channels_last)
    network: Any = loop.model.network
    network.calibrate_mode()
    with evaluating(loop.model):
        set_epoch(loop.data_loader, 0)
        for batch in islice(loop.data_loader, BRIEFLY):
            network(to_device(batch, loop.device, loop.channels_last)["img"])
    merge_observers(network)
    batches = network.batches_observed
    network.finish_calibration()
    return batches


@OBJECT_REGISTRY.register
class Calibrator(Loop):
    """At most `num_steps` forward passes in eval mode; the observers' ranges become scales at their end.

    With `bias_correction` the same batches are gone through again, once for each of its epochs, and take the shift of
    rounding out of the biases (:class:`hatlite.quantization.BiasCorrection`). All of it is one epoch, which ends in one
    validation and one checkpoint. No step needs labels.

    Of several processes (``tools/train.py --stage calibration --device-ids 0,1 …``) process r of n observes the
    batches r, r + n, …, and of every batch that corrects the images r, r + n, …; all end with the scales and biases
    that one process would have found, to the bit, and the first one writes the files.

    Args:
        model: A detector whose network is a fake-quant graph by the time :meth:`fit` runs.
        data_loader: Images as evaluation sees them, without random augmentation; the stage derives it if left out.
        num_steps: Batches to look at, by all processes together; the loader may have fewer.
        batch_processor: Ignored: calibration needs no losses. Accepted because configs of this format name one.
        equalize: Balance of cross-layer equalisation, 0…1, which the first batch decides before any range is observed
            (:func:`hatlite.quantization.equalize`); None leaves the weights as they are, and so does a calibration
            behind training with rounded weights, which these have been rounded for.
        bias_correction: ``dict(rate=0.05, decay=0.5, num_epochs=1)``, or some of these keys: each batch of epoch e,
            from 0, takes ``rate · decay^e`` of what rounding adds to the means of channels out of their biases.
            ``dict()`` takes those values, which are those of TI's toolkit; None corrects nothing.
        device, callbacks, val_metrics, seed, channels_last, model_convert_pipeline: As for the trainer; callbacks
            usually are ``Validation`` and ``Checkpoint``.
    """

    checked_keys: ClassVar = {"bias_correction": Correcting.of}

    def __init__(
        self,
        model: torch.nn.Module,
        data_loader: Any,
        num_steps: int = 100,
        batch_processor: Any = None,
        *,
        equalize: float | None = 0.6,
        bias_correction: Mapping[str, Any] | None = None,
        device: str | torch.device | None = None,
        callbacks: Sequence[Callback] = (),
        val_metrics: Metric | Sequence[Metric] | None = None,
        seed: int | None = None,
        channels_last: bool = True,
        model_convert_pipeline: Any = None,
    ) -> None:
        if num_steps < 1:
            raise ConfigError(f"Calibrator: num_steps is {num_steps}; expected at least 1 batch.")
        if equalize is not None:
            check_balance(equalize)
        correcting = None if bias_correction is None else Correcting.of(bias_correction)
        super().__init__(
            model,
            data_loader,
            callbacks=callbacks,
            device=device,
            val_metrics=val_metrics,
            seed=seed,
            channels_last=channels_last,
            model_convert_pipeline=model_convert_pipeline,
        )
        self.num_steps = num_steps
        self.balance = equalize
        self.correcting = correcting

    resumable = False

    @property
    def batch_count(self) -> int:
        """Batches that all processes together look at."""
        return min(self.num_steps, len(self.data_loader))

    @property
    def observing_steps(self) -> int:
        """Batches that this process observes."""
        rank, count = process()
        return len(range(rank, self.batch_count, count))

    @property
    def steps_per_epoch(self) -> int:
        """Batches that this process observes, and those that correct."""
        return self.observing_steps + (self.correcting.num_epochs * self.batch_count if self.correcting else 0)

    def setup(self) -> None:
        """Bring the model into place, in eval mode, observers on.

        Raises:
            ConfigError: There are more processes than batches, or the loader shares out its images already.
        """
        rank, count = process()
        if self.batch_count < count:
            raise ConfigError(
                f"Calibrator: there are {self.batch_count} batches for {count} processes; start at most"
                f" {self.batch_count}, or lower the batch_size of the calibration loader."
            )
        network: Any = self.model.network
        if self.correcting is not None and network.simulation is not None:
            raise ConfigError(
                f"Calibrator: bias_correction compares integers with the float network, and stage {self.run.stage!r}"
                " computes on real values with rounded weights; leave bias_correction out."
            )
        share_batches(self.data_loader, rank, count)
        self.weights_hash = weights_hash(self.model.state_dict())
        super().setup()
        self.model.eval()
        network.calibrate_mode()

    def state_dict(self) -> dict[str, Any]:
        """Return the loop's state, and the hash of the weights that this calibration was made from."""
        return {**super().state_dict(), WEIGHTS_HASH: self.weights_hash}

    def _groups(self) -> Iterator[list[Any]]:
        """Yield the batches that this process observes, then all of them for each epoch of bias correction."""
        yield from islice(super()._groups(), self.observing_steps)
        if self.correcting is None:
            return
        share_batches(self.data_loader, 0, 1)
        for _ in range(self.correcting.num_epochs):
            set_epoch(self.data_loader, self.epoch)
            yield from islice(super()._groups(), self.batch_count)

    @torch.no_grad()
    def run_step(self) -> None:
        """Let the observers see ``self.batch``, and fix the scales after the last of them; then correct by it."""
        if self.step_in_epoch < self.observing_steps:
            self._observe()
        elif self.correcting is not None:
            number = self.step_in_epoch - self.observing_steps
            self.correcting.step(self.model.network, self.batch["img"], number, self.batch_count)
        if self.step_in_epoch + 1 == self.steps_per_epoch and process()[0] == 0:
            self._write_ranges()

    def _observe(self) -> None:
        if self.step == 0 and self.balance is not None and self.model.network.simulation is None:
            self._equalize(self.balance)
        self.model.network(self.batch["img"])
        if self.step_in_epoch + 1 == self.observing_steps:
            merge_observers(self.model.network)
            self.model.network.finish_calibration()

    def _equalize(self, balance: float) -> None:
        """Let the very first batch, which the first process has, decide for all."""
        if process()[0] == 0:
            pairs = equalize_channels(self.model.network, self.batch["img"], balance)
            logger.info("Equalised the channels between %d pairs of layers.", len(pairs))
        copy_parameters(self.model.network)

    def _write_ranges(self) -> None:
        """Leave ``<stage>-ranges.md`` in the run's folder."""
        path = self.run.folder / f"{self.run.stage}-ranges.md"
        text = format_ranges(site_ranges(self.model.network))
        if self.correcting is not None:
            text += f"\n{self.correcting.summary()}"
        with whole_file(path) as unfinished:
            unfinished.write_text(text, encoding="utf-8")
        logger.info("Ranges of all sites: %s", path)
