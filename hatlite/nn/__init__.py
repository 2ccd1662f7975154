"""Building blocks that graph capture understands: operations as modules and the stubs at the border."""

from hatlite.nn.functional import Add, Interpolate
from hatlite.nn.stubs import DeQuantStub, QuantStub

__all__ = ["Add", "DeQuantStub", "Interpolate", "QuantStub"]
