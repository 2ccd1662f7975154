"""Heads: features in, named outputs of the network out."""

from hatlite.models.heads.fcos_head import FCOSHead

__all__ = ["FCOSHead"]
