"""A site: one call of one operation, with its own statistics, scale and integer constants."""

import torch
from torch import nn

from hatlite.errors import QuantizationError
from hatlite.qparams import int_range
from hatlite.quantization.observer import Observer

__all__ = ["Site"]


class Site(nn.Module):
    """Base of all sites.

    A site computes in two worlds: :meth:`forward_float` on real values, while observers watch, and
    :meth:`forward_integer` on integer-valued float32 tensors. It refers to the network's own modules and to the sites
    that feed it without owning them, so that parameters keep their names and appear once.

    Args:
        name: Unique name of the call.
        path: Module path of the operation.
        line: Source line of the call.
        inputs: Sites whose results it takes, in order.
        dtype: Integer type of the result.
        observer: Range statistics of the result; None for sites that have no scale of their own.
        relu: Clamp the result at 0 from below.

    Attributes:
        scale: float64 scalar buffer that holds a float32 value, real = scale · q; NaN until calibrated.
        shape: (C, H, W) of the result for the example input, without the batch.
        tied: Whether the scale belongs to a group of sites (:mod:`hatlite.quantization.scale_groups`), which sets it.
    """

    scale: torch.Tensor

    def __init__(
        self,
        *,
        name: str,
        path: str,
        line: str,
        inputs: tuple["Site", ...],
        dtype: str,
        observer: Observer | None,
        relu: bool = False,
    ) -> None:
        super().__init__()
        self.name, self.path, self.line = name, path, line
        self.inputs = inputs  # a tuple, so that nn.Module does not register them a second time
        self.dtype = dtype
        self.relu = relu
        self.observer = observer
        self.shape: tuple[int, ...] = ()
        self.tied = False
        self.register_buffer("scale", torch.tensor(float("nan"), dtype=torch.float64))

    @property
    def quant_min(self) -> int:
        """Lower clamp; a ReLU is the clamp at 0."""
        return max(int_range(self.dtype)[0], 0) if self.relu else int_range(self.dtype)[0]

    @property
    def quant_max(self) -> int:
        """Upper clamp."""
        return int_range(self.dtype)[1]

    @property
    def nonnegative(self) -> bool:
        """Whether the result is provably ≥ 0."""
        return self.relu

    @property
    def source(self) -> "Site":
        """The site whose scale and type the result has: this one, unless it only selects among integers."""
        return self

    def observe(self, y: torch.Tensor) -> torch.Tensor:
        """Hand a float result to the observer and return it.

        Raises:
            QuantizationError: A value is NaN or infinite; the message says where.
        """
        if self.observer is not None:
            try:
                self.observer.observe(y)
            except QuantizationError as problem:
                raise QuantizationError(f"{self.path} ({self.line}): {problem}") from None
        return y

    def finish_calibration(self) -> None:
        """Turn what the observer saw into the scale."""
        if self.observer is not None and not self.tied:
            self.scale.fill_(self.ideal_scale())

    def ideal_scale(self) -> float:
        """Return the scale that the observer asks for, a float32 value: what ONNX and every engine can carry."""
        return float(torch.tensor(self.observer.absmax(self.quant_max) / self.quant_max, dtype=torch.float32))

    def refresh(self) -> None:
        """Recompute constants from the current parameters and scales; nothing to do for most sites."""

    def forward_float(self, *inputs: torch.Tensor) -> torch.Tensor:
        """Compute on real values."""
        raise NotImplementedError

    def forward_integer(self, *inputs: torch.Tensor) -> torch.Tensor:
        """Compute on integer-valued float32 tensors."""
        raise NotImplementedError

    def dequantize(self, q: torch.Tensor) -> torch.Tensor:
        """Return float32(q) · float32(scale), the one definition on both sides."""
        return q.float() * self.scale.float()

    @property
    def has_scale(self) -> bool:
        """Whether the result has one scale; a raw accumulator has one per channel instead."""
        return True

    def ideal_ratio(self) -> torch.Tensor | None:
        """Return each weight scale over the ideal one, (C,) float64, 1 where it did not move; None without weights."""
        return None

    def require_calibrated(self) -> None:
        """Raise when this site has no scale yet."""
        if self.has_scale and torch.isnan(self.scale):
            raise QuantizationError(
                f"{self.path} ({self.line}) has no scale yet: run calibration, or load a calibration or qat checkpoint,"
                " before integers are asked for."
            )
