"""The border between float and integers: what lies between the stubs runs on the accelerator."""

import torch
from torch import nn

from hatlite.errors import BuildError

__all__ = ["OUTPUT_DTYPES", "DeQuantStub", "QuantStub"]

OUTPUT_DTYPES = ("int8", "int16", "int32")


class QuantStub(nn.Module):
    """Float to integer: q = clamp(round(x / scale)); the identity in float.

    Args:
        scale: Fixed scale. 1/128 makes a pixel that was centred and divided by 128 exactly ``pixel − 128``. None takes
            the scale from calibration.
        levels: Least and greatest integer that an image holds; random images are drawn from them.
    """

    def __init__(self, scale: float | None = None, levels: tuple[int, int] = (-128, 127)) -> None:
        super().__init__()
        self.scale, self.levels = scale, levels

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x

    def extra_repr(self) -> str:
        return f"scale={self.scale}"


class DeQuantStub(nn.Module):
    """Integer to float: x = scale · q; the identity in float.

    Args:
        dtype: Integer type in which the value before the stub leaves the accelerator. ``int32`` is the raw accumulator
            of the convolution before it.
    """

    def __init__(self, dtype: str = "int8") -> None:
        super().__init__()
        if dtype not in OUTPUT_DTYPES:
            raise BuildError(f"DeQuantStub: dtype is {dtype!r}; expected one of {', '.join(OUTPUT_DTYPES)}.")
        self.dtype = dtype

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x

    def extra_repr(self) -> str:
        return f"dtype={self.dtype!r}"
