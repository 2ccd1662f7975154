"""Detectors: network, losses and post-processing put together."""

from hatlite.models.detectors.fcos import FCOS

__all__ = ["FCOS"]
