"""Bias correction as a part of calibration: its settings, its steps and what they are told as."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from hatlite.engine.processes import process
from hatlite.engine.sections import section
from hatlite.errors import ConfigError
from hatlite.log import get_logger
from hatlite.ops.processes import sum_over_processes
from hatlite.quantization import BiasCorrection, FakeQuantGraph, check_correction

__all__ = ["Correcting"]

logger = get_logger(__name__)

KEYS = {"rate": float, "decay": float, "num_epochs": int}


@dataclass
class Correcting:
    """Epochs of :class:`~hatlite.quantization.BiasCorrection`, one update per batch.

    The n updates of epoch e take 1 − (1 − rate · decay^e)^n of the difference: with the rate of TI's toolkit 5 batches
    are 0.23 of it, 50 are 0.92.

    Attributes:
        rate: Share of the difference that an update of the first epoch takes over, 0…1.
        decay: What every further epoch multiplies the rate by, 0…1.
        num_epochs: Epochs, 1 or more.
    """

    rate: float = 0.05
    decay: float = 0.5
    num_epochs: int = 1
    _correction: BiasCorrection | None = field(init=False, default=None)
    _off: list[float] = field(init=False, default_factory=list)

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> "Correcting":
        """Return what a config's dict of `rate`, `decay` and `num_epochs` says; it may leave out any of them.

        Raises:
            ConfigError, QuantizationError: A key is unknown, or a value is none of its kind or out of its range.
        """
        correcting = cls(**section({"bias_correction": settings}, "bias_correction", KEYS, "Calibrator"))
        check_correction(correcting.rate, correcting.decay)
        if correcting.num_epochs < 1:
            raise ConfigError(
                f"Calibrator['bias_correction']['num_epochs'] is {correcting.num_epochs}; expected at least 1 epoch, or"
                " leave bias_correction out."
            )
        return correcting

    def step(self, graph: FakeQuantGraph, img: torch.Tensor, number: int, batches: int) -> None:
        """Correct the biases of `graph` by what a batch shows; all processes share its images, and all must call this.

        Args:
            graph: In eval mode, with scales; as it is in the first step, it defines the float network.
            img: (N, C, H, W) float32, the same in all processes.
            number: Of the step, from 0.
            batches: Steps of an epoch.
        """
        self._correction = self._correction or BiasCorrection(graph, self.rate, self.decay)
        rank, count = process()
        own = img[rank::count]
        if len(own):
            self._correction.watch(own)
        epoch, batch = divmod(number, batches)
        self._off.append(self._correction.update(epoch, sum_over_processes(self._correction.sums)))
        if batch + 1 == batches:
            first, last = self._off[-batches], self._off[-1]
            logger.info(
                "Bias correction, epoch %d of %d: the mean of a channel was off by %.3f steps in the first batch and by"
                " %.3f in the last.",
                epoch + 1,
                self.num_epochs,
                first,
                last,
            )

    def summary(self) -> str:
        """Return a sentence about the steps so far, for the report of calibration."""
        return (
            f"Biases were corrected in {len(self._off)} steps (rate {self.rate:g}, decay {self.decay:g}, epochs"
            f" {self.num_epochs}): the mean of a channel was off by {self._off[0]:.3f} steps of its result in the first"
            f" and by {self._off[-1]:.3f} in the last. The ranges above stay what they were.\n"
        )
