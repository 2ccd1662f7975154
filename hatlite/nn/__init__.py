"""Building blocks that graph capture understands: operations as modules and the stubs at the border."""

from hatlite.nn.activation import RaisableReLU
from hatlite.nn.conv import conv_bn
from hatlite.nn.drop_path import DropPath
from hatlite.nn.functional import Add, Concat, Exp, Interpolate, Mul, Sub
from hatlite.nn.l2_norm import L2Norm
from hatlite.nn.quantizable import Quantizable
from hatlite.nn.separable import conv_3x3
from hatlite.nn.stubs import DeQuantStub, QuantStub
from hatlite.nn.sync_batch_norm import SyncBatchNorm2d

__all__ = [
    "Add",
    "Concat",
    "DeQuantStub",
    "DropPath",
    "Exp",
    "Interpolate",
    "L2Norm",
    "Mul",
    "QuantStub",
    "Quantizable",
    "RaisableReLU",
    "Sub",
    "SyncBatchNorm2d",
    "conv_3x3",
    "conv_bn",
]
