"""Assigners: which point learns which object."""

from hatlite.models.assigners.dynamic_fcos_target import DynamicFcosTarget

__all__ = ["DynamicFcosTarget"]
