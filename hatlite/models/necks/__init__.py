"""Necks: features of several strides exchange what they know."""

from hatlite.models.necks.bifpn import BiFPN
from hatlite.models.necks.fpn import FPN
from hatlite.models.necks.ssd_neck import SSDNeck

__all__ = ["FPN", "BiFPN", "SSDNeck"]
