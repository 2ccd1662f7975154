"""Necks: features of several strides exchange what they know."""

from hatlite.models.necks.bifpn import BiFPN

__all__ = ["BiFPN"]
