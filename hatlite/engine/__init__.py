"""Training, calibration and evaluation, stage by stage; importing this package registers every type of hatlite."""

import hatlite.engine.declined  # noqa: F401  (names that configs of HAT may hold)
from hatlite.engine.batch_processor import MultiBatchProcessor
from hatlite.engine.board import BoardStep, align_bpu, board_table
from hatlite.engine.browsing import browse_dataset
from hatlite.engine.calibrator import Calibrator
from hatlite.engine.chip_check import ChipReport, verify_chip
from hatlite.engine.chip_conversion import convert_to_chip
from hatlite.engine.chip_infer import ChipDetector, ChipSession
from hatlite.engine.chip_settings import ChipSettings, find_settings, read_settings
from hatlite.engine.comparison import compare_pictures
from hatlite.engine.complexity import complexity_of
from hatlite.engine.conversion import Conversion, Converter, ModelConvertPipeline
from hatlite.engine.converters import (
    Calibration2QAT,
    Float2Calibration,
    Float2QAT,
    LoadCheckpoint,
    LoadHbir,
    QAT2Quantize,
)
from hatlite.engine.infer import class_names, infer_images, stage_of
from hatlite.engine.infer_settings import chosen_pictures, visualizer
from hatlite.engine.inspection import align_stage, certify_stage, lower_from_config
from hatlite.engine.ir_infer import FCOSIrInfer, GNetDetIrInfer, HbirModule, RetinaNetIrInfer, SSDIrInfer
from hatlite.engine.kinds import STAGE_KINDS, restore, stage_file, stage_kind
from hatlite.engine.launcher import Place, launch
from hatlite.engine.loop import Callback, Loop, RunInfo
from hatlite.engine.loss_collectors import collect_loss_by_regex
from hatlite.engine.model_check import check_model_of
from hatlite.engine.model_zoo import find_configs, kept_results, zoo_rows, zoo_table
from hatlite.engine.nodes import Nodes, placement
from hatlite.engine.onnx_files import export_float, export_program, run_program, verify_detections, verify_export
from hatlite.engine.perf import estimate_run, perf_settings
from hatlite.engine.predictor import Predictor
from hatlite.engine.quantize_flag import float_stage, run_to_evaluate, run_to_train
from hatlite.engine.run import Run, Stage
from hatlite.engine.short_run import cut_short
from hatlite.engine.stages import export_stage, last_stage, predict_stage, run_stage
from hatlite.engine.step_converters import EditGain, Float2ActivationQAT, Float2WeightQAT, FuseBatchNorm
from hatlite.engine.steps import (
    key_table,
    note_on_fusing,
    read_given,
    read_words,
    stage_of_step,
    step_run,
    step_to_convert,
    step_to_evaluate,
)
from hatlite.engine.trainer import Trainer
from hatlite.engine.validate import load_run

__all__ = [
    "STAGE_KINDS",
    "BoardStep",
    "Calibration2QAT",
    "Calibrator",
    "Callback",
    "ChipDetector",
    "ChipReport",
    "ChipSession",
    "ChipSettings",
    "Conversion",
    "Converter",
    "EditGain",
    "FCOSIrInfer",
    "Float2ActivationQAT",
    "Float2Calibration",
    "Float2QAT",
    "Float2WeightQAT",
    "FuseBatchNorm",
    "GNetDetIrInfer",
    "HbirModule",
    "LoadCheckpoint",
    "LoadHbir",
    "Loop",
    "ModelConvertPipeline",
    "MultiBatchProcessor",
    "Nodes",
    "Place",
    "Predictor",
    "QAT2Quantize",
    "RetinaNetIrInfer",
    "Run",
    "RunInfo",
    "SSDIrInfer",
    "Stage",
    "Trainer",
    "align_bpu",
    "align_stage",
    "board_table",
    "browse_dataset",
    "certify_stage",
    "check_model_of",
    "chosen_pictures",
    "class_names",
    "collect_loss_by_regex",
    "compare_pictures",
    "complexity_of",
    "convert_to_chip",
    "cut_short",
    "estimate_run",
    "export_float",
    "export_program",
    "export_stage",
    "find_configs",
    "find_settings",
    "float_stage",
    "infer_images",
    "kept_results",
    "key_table",
    "last_stage",
    "launch",
    "load_run",
    "lower_from_config",
    "note_on_fusing",
    "perf_settings",
    "placement",
    "predict_stage",
    "read_given",
    "read_settings",
    "read_words",
    "restore",
    "run_program",
    "run_stage",
    "run_to_evaluate",
    "run_to_train",
    "stage_file",
    "stage_kind",
    "stage_of",
    "stage_of_step",
    "step_run",
    "step_to_convert",
    "step_to_evaluate",
    "verify_chip",
    "verify_detections",
    "verify_export",
    "visualizer",
    "zoo_rows",
    "zoo_table",
]
