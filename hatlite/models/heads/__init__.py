"""Heads: features in, named outputs of the network out."""

from hatlite.models.heads.fcos_head import FCOSHead
from hatlite.models.heads.gnet_head import GNetHead
from hatlite.models.heads.retina_head import RetinaHead
from hatlite.models.heads.ssd_head import SSDHead

__all__ = ["FCOSHead", "GNetHead", "RetinaHead", "SSDHead"]
