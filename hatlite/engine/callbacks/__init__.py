"""What happens around the steps.

Their order in a config matters: :class:`hatlite.engine.loop.Callback` gives one that works, each class says why.
"""

from hatlite.engine.callbacks.checkpoint import Checkpoint
from hatlite.engine.callbacks.ema import ExponentialMovingAverage
from hatlite.engine.callbacks.freeze import FreezeBNStatistics, FreezeModule
from hatlite.engine.callbacks.grad_scale import GradScale
from hatlite.engine.callbacks.lr_schedules import (
    CosineAnnealingLrUpdater,
    CosineRestartsLrUpdater,
    CyclicLrUpdater,
    NoamLrUpdater,
    OneCycleUpdater,
    PolyLrUpdater,
)
from hatlite.engine.callbacks.lr_updater import CosLrUpdater, LrUpdater, StepDecayLrUpdater
from hatlite.engine.callbacks.metric_updater import MetricUpdater
from hatlite.engine.callbacks.quant_refresh import QuantRefresh
from hatlite.engine.callbacks.save_traced import SaveTraced
from hatlite.engine.callbacks.scalars import ScalarLog
from hatlite.engine.callbacks.stats import StatsMonitor
from hatlite.engine.callbacks.tensorboard import TensorBoard
from hatlite.engine.callbacks.validation import Validation

__all__ = [
    "Checkpoint",
    "CosLrUpdater",
    "CosineAnnealingLrUpdater",
    "CosineRestartsLrUpdater",
    "CyclicLrUpdater",
    "ExponentialMovingAverage",
    "FreezeBNStatistics",
    "FreezeModule",
    "GradScale",
    "LrUpdater",
    "MetricUpdater",
    "NoamLrUpdater",
    "OneCycleUpdater",
    "PolyLrUpdater",
    "QuantRefresh",
    "SaveTraced",
    "ScalarLog",
    "StatsMonitor",
    "StepDecayLrUpdater",
    "TensorBoard",
    "Validation",
]
