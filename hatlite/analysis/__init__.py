"""Reports that look at several worlds at once."""

from hatlite.analysis.alignment import check_alignment, record
from hatlite.analysis.alignment_report import AlignmentReport, LayerAlignment
from hatlite.analysis.calops import RULES, Counts, count, parse_shape
from hatlite.analysis.calops_table import counts_table, counts_to_dict
from hatlite.analysis.confusion import confusion_csv, confusion_lines, draw_confusion
from hatlite.analysis.curves import describe_series, draw_curves, find_series
from hatlite.analysis.det_viz import DetViz
from hatlite.analysis.model_check import ModelCheck, OperatorCheck, check_network
from hatlite.analysis.painted_results import PaintedResults
from hatlite.analysis.picture_files import (
    PICTURE_FORMATS,
    check_picture_name,
    files_at,
    output_paths,
    parse_inputs,
    picture_paths,
    save_picture,
)
from hatlite.analysis.pictures import describe_detections, draw_detections, draw_ground_truth
from hatlite.analysis.sheets import contact_sheet, side_by_side
from hatlite.analysis.window import Window
from hatlite.executor import executor

__all__ = [
    "PICTURE_FORMATS",
    "RULES",
    "AlignmentReport",
    "Counts",
    "DetViz",
    "LayerAlignment",
    "ModelCheck",
    "OperatorCheck",
    "PaintedResults",
    "Window",
    "check_alignment",
    "check_network",
    "check_picture_name",
    "confusion_csv",
    "confusion_lines",
    "contact_sheet",
    "count",
    "counts_table",
    "counts_to_dict",
    "describe_detections",
    "describe_series",
    "draw_confusion",
    "draw_curves",
    "draw_detections",
    "draw_ground_truth",
    "files_at",
    "find_series",
    "output_paths",
    "parse_inputs",
    "parse_shape",
    "picture_paths",
    "record",
    "save_picture",
    "side_by_side",
]

executor.register_engine(
    "onnxruntime", "hatlite.analysis.onnx_engine"
)  # it needs the executor's layer and the export's
