"""Reports that look at several worlds at once."""

from hatlite.analysis.calops import Counts, count, parse_shape
from hatlite.analysis.comparison import compare_pictures
from hatlite.analysis.picture_files import parse_inputs, picture_paths, save_picture
from hatlite.analysis.pictures import describe_detections, draw_detections, draw_ground_truth
from hatlite.analysis.sheets import contact_sheet, side_by_side

__all__ = [
    "Counts",
    "compare_pictures",
    "contact_sheet",
    "count",
    "describe_detections",
    "draw_detections",
    "draw_ground_truth",
    "parse_inputs",
    "parse_shape",
    "picture_paths",
    "save_picture",
    "side_by_side",
]
