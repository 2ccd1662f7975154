"""What happens around the steps.

A config that uses all lists them in this order; each class says why: ``StatsMonitor, MetricUpdater,
ExponentialMovingAverage, CosLrUpdater, QuantRefresh, Validation, Checkpoint, TensorBoard``.
"""

from hatlite.engine.callbacks.checkpoint import Checkpoint
from hatlite.engine.callbacks.ema import ExponentialMovingAverage
from hatlite.engine.callbacks.lr_updater import CosLrUpdater, LrUpdater, StepDecayLrUpdater
from hatlite.engine.callbacks.quant_refresh import QuantRefresh
from hatlite.engine.callbacks.stats import MetricUpdater, StatsMonitor
from hatlite.engine.callbacks.tensorboard import TensorBoard
from hatlite.engine.callbacks.validation import Validation

__all__ = [
    "Checkpoint",
    "CosLrUpdater",
    "ExponentialMovingAverage",
    "LrUpdater",
    "MetricUpdater",
    "QuantRefresh",
    "StatsMonitor",
    "StepDecayLrUpdater",
    "TensorBoard",
    "Validation",
]
