"""Postprocess: outputs of the network in, objects out."""

from hatlite.models.postprocess.anchor_decoder import RetinaDecoder, SSDDecoder
from hatlite.models.postprocess.fcos_decoder import FCOSDecoder
from hatlite.models.postprocess.grid_decoder import GridDecoder

__all__ = ["FCOSDecoder", "GridDecoder", "RetinaDecoder", "SSDDecoder"]
