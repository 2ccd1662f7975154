"""Sites: one module per call of an operation, float and integer side by side."""

from hatlite.quantization.sites.base import Site
from hatlite.quantization.sites.conv import ConvSite
from hatlite.quantization.sites.others import (
    AddSite,
    AvgPoolSite,
    BilinearSite,
    ConcatSite,
    InputSite,
    MaxPoolSite,
    NearestSite,
    PassingSite,
    RescaleSite,
)

__all__ = [
    "AddSite",
    "AvgPoolSite",
    "BilinearSite",
    "ConcatSite",
    "ConvSite",
    "InputSite",
    "MaxPoolSite",
    "NearestSite",
    "PassingSite",
    "RescaleSite",
    "Site",
]
