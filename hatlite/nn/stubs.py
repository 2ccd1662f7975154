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
    """Integer to float: x = scale · q; the identity in float. With a gain, x is multiplied by it in both.

    Args:
        dtype: Integer type in which the value before the stub leaves the accelerator. ``int32`` is the raw accumulator
            of the convolution before it.
        channels: Of the value, for a network whose real ranges can be folded into its weights; None has no gain.

    Attributes:
        gain: (C,) float64 buffer: what results are multiplied by outside of the integers, ones at first; None without
            `channels`.
    """

    gain: torch.Tensor | None

    def __init__(self, dtype: str = "int8", channels: int | None = None) -> None:
        super().__init__()
        if dtype not in OUTPUT_DTYPES:
            raise BuildError(f"DeQuantStub: dtype is {dtype!r}; expected one of {', '.join(OUTPUT_DTYPES)}.")
        self.dtype = dtype
        self.register_buffer("gain", None if channels is None else torch.ones(channels, dtype=torch.float64))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.scaled(x)

    def scaled(self, x: torch.Tensor, scale: torch.Tensor | None = None) -> torch.Tensor:
        """Return x times `scale` and the gain, multiplied with each other in float64 and rounded to float32 first.

        Args:
            x: (N, C, H, W) or (N, C) float.
            scale: Scalar or (C,) float64; None is 1.
        """
        if self.gain is None:
            return x if scale is None else x * _columns(scale, x)
        return x * _columns(self.gain if scale is None else self.gain * scale, x)

    def extra_repr(self) -> str:
        return f"dtype={self.dtype!r}"


def _columns(scale: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """Return a scalar or (C,) `scale` as float32 that multiplies the channels of `x`."""
    return scale.float() if scale.ndim == 0 else scale.float().reshape(-1, *[1] * (x.ndim - 2))
