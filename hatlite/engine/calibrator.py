"""Calibration: show the fake-quant graph some images, in one process or several, then fix its scales."""

from collections.abc import Sequence
from itertools import islice
from typing import Any

import torch

from hatlite.data.loader import set_epoch, share_batches
from hatlite.engine.device import place, to_device
from hatlite.engine.evaluation import evaluating
from hatlite.engine.loop import Callback, Loop
from hatlite.engine.processes import copy_parameters, merge_observers, process
from hatlite.errors import ConfigError
from hatlite.files import whole_file
from hatlite.log import get_logger
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
    """One epoch of at most `num_steps` forward passes in eval mode; the observers' ranges become scales at its end.

    Of several processes (``tools/train.py --stage calibration --device-ids 0,1 …``) process r of n takes the
    batches r, r + n, …; all end with the scales that one process would have found, and the first one writes the files.

    Args:
        model: A detector whose network is a fake-quant graph by the time :meth:`fit` runs.
        data_loader: Images as evaluation sees them, without random augmentation; the stage derives it if left out.
        num_steps: Batches to look at, by all processes together; the loader may have fewer.
        batch_processor: Ignored: calibration needs no losses. Accepted because configs of this format name one.
        equalize: Balance of cross-layer equalisation, 0…1, which the first batch decides before any range is observed
            (:func:`hatlite.quantization.equalize`); None leaves the weights as they are.
        device, callbacks, val_metrics, seed, channels_last, model_convert_pipeline: As for the trainer; callbacks
            usually are ``Validation`` and ``Checkpoint``.
    """

    def __init__(
        self,
        model: torch.nn.Module,
        data_loader: Any,
        num_steps: int = 100,
        batch_processor: Any = None,
        *,
        equalize: float | None = 0.6,
        device: str | torch.device | None = None,
        callbacks: Sequence[Callback] = (),
        val_metrics: Any = None,
        seed: int | None = None,
        channels_last: bool = True,
        model_convert_pipeline: Any = None,
    ) -> None:
        if num_steps < 1:
            raise ConfigError(f"Calibrator: num_steps is {num_steps}; expected at least 1 batch.")
        if equalize is not None:
            check_balance(equalize)
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

    resumable = False

    @property
    def steps_per_epoch(self) -> int:
        """Batches that this process looks at."""
        rank, count = process()
        return len(range(rank, min(self.num_steps, len(self.data_loader)), count))

    def setup(self) -> None:
        """Bring the model into place, in eval mode, observers on.

        Raises:
            ConfigError: There are more processes than batches, or the loader shares out its images already.
        """
        rank, count = process()
        batches = min(self.num_steps, len(self.data_loader))
        if batches < count:
            raise ConfigError(
                f"Calibrator: there are {batches} batches for {count} processes; start at most {batches}, or lower the"
                " batch_size of the calibration loader."
            )
        share_batches(self.data_loader, rank, count)
        super().setup()
        self.model.eval()
        self.model.network.calibrate_mode()

    @torch.no_grad()
    def run_step(self) -> None:
        """Let the observers see ``self.batch``; after the last batch, fix the scales."""
        if self.step == 0 and self.balance is not None:
            self._equalize(self.balance)
        self.model.network(self.batch["img"])
        if self.step_in_epoch + 1 == self.steps_per_epoch:
            merge_observers(self.model.network)
            self.model.network.finish_calibration()
            if process()[0] == 0:
                self._write_ranges()

    def _equalize(self, balance: float) -> None:
        """Let the very first batch, which the first process has, decide for all."""
        if process()[0] == 0:
            pairs = equalize_channels(self.model.network, self.batch["img"], balance)
            logger.info("Equalised the channels between %d pairs of layers.", len(pairs))
        copy_parameters(self.model.network)

    def _write_ranges(self) -> None:
        """Leave ``<stage>-ranges.md`` in the run's folder."""
        path = self.run.folder / f"{self.run.stage}-ranges.md"
        with whole_file(path) as unfinished:
            unfinished.write_text(format_ranges(site_ranges(self.model.network)), encoding="utf-8")
        logger.info("Ranges of all sites: %s", path)
