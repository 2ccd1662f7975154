"""Postprocess: outputs of the network in, objects out."""

from hatlite.models.postprocess.anchor_decoder import RetinaDecoder, SSDDecoder
from hatlite.models.postprocess.fcos_decoder import FCOSDecoder

__all__ = ["FCOSDecoder", "RetinaDecoder", "SSDDecoder"]
