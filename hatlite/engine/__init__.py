"""Training, calibration and evaluation, stage by stage; importing this package registers every type of hatlite."""

from hatlite.engine.batch_processor import MultiBatchProcessor
from hatlite.engine.calibrator import Calibrator
from hatlite.engine.loop import Callback, Loop, RunInfo
from hatlite.engine.predictor import Predictor
from hatlite.engine.run import Run, Stage
from hatlite.engine.stages import STAGE_KINDS, align_stage, predict_stage, restore, run_stage, stage_kind
from hatlite.engine.trainer import Trainer

__all__ = [
    "STAGE_KINDS",
    "Calibrator",
    "Callback",
    "Loop",
    "MultiBatchProcessor",
    "Predictor",
    "Run",
    "RunInfo",
    "Stage",
    "Trainer",
    "align_stage",
    "predict_stage",
    "restore",
    "run_stage",
    "stage_kind",
]
