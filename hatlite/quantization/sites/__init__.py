"""Sites: one module per call of an operation, float and integer side by side."""

from hatlite.quantization.sites.base import Site
from hatlite.quantization.sites.batch_statistics import BatchStatistics
from hatlite.quantization.sites.conv import ConvSite
from hatlite.quantization.sites.conv_transpose import ConvTransposeSite
from hatlite.quantization.sites.lut import LUT_FUNCTIONS, LutSite
from hatlite.quantization.sites.moving import DepthToSpaceSite, SliceSite
from hatlite.quantization.sites.others import (
    AvgPoolSite,
    BilinearSite,
    ConcatSite,
    InputSite,
    MaxPoolSite,
    NearestSite,
    PadSite,
    PassingSite,
    RescaleSite,
)
from hatlite.quantization.sites.pairs import AddSite, MulSite, SubSite
from hatlite.quantization.sites.running_range import RunningRange
from hatlite.quantization.sites.stand_in import StandInSite

__all__ = [
    "LUT_FUNCTIONS",
    "AddSite",
    "AvgPoolSite",
    "BatchStatistics",
    "BilinearSite",
    "ConcatSite",
    "ConvSite",
    "ConvTransposeSite",
    "DepthToSpaceSite",
    "InputSite",
    "LutSite",
    "MaxPoolSite",
    "MulSite",
    "NearestSite",
    "PadSite",
    "PassingSite",
    "RescaleSite",
    "RunningRange",
    "Site",
    "SliceSite",
    "StandInSite",
    "SubSite",
]
