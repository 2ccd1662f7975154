"""A site: one call of one operation, with its own statistics, scale and integer constants."""

import math
from collections.abc import Callable

import torch
from torch import nn

from hatlite.errors import QuantizationError
from hatlite.march import Arithmetic
from hatlite.ops.integer.families import family_of
from hatlite.qparams import int_range
from hatlite.quantization.observer import Observer
from hatlite.quantization.scale_grid import on_grid
from hatlite.quantization.simulation import OBSERVED, Simulation
from hatlite.quantization.sites.running_range import RunningRange
from hatlite.quantization.sites.watched import Watched
from hatlite.quantization.weight_scales import WeightRule

__all__ = ["Site"]

LARGEST_LOG = 32.0
"""A scale that has learned its way to e^32 of what it was, or from it, has diverged."""


class Site(Watched):
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
        fixed: Steps of the range → scale that the config gives, or None where it gives none; None leaves it to the
            observer.
        learn: Whether qat is asked to learn the scale.
        scale_grid: Numbers that the scale may be (:mod:`hatlite.quantization.scale_grid`).
        bits: Of the result, where they are fewer than its type has.
        arithmetic: Of the march.
        weight_rule: How weights become integers, for a site that has any; None takes the defaults.

    Attributes:
        scale: float64 scalar buffer that holds a float32 value, real = scale · q; NaN until calibrated.
        asked_scale: float64 scalar buffer: what config or observer ask for, before anything moves it; NaN until
            calibrated. Stored with the weights only where scales are learned or follow their batches.
        log_scale: Parameter, the logarithm of (learned scale / `asked_scale`); None for a scale that is not learned.
        running_range: What the range will be at the next refresh; None for one that does not follow its batches.
        shape: (C, H, W) of the result for the example input, without the batch.
        group: The sites that share the scale (:mod:`hatlite.quantization.scale_groups`), the first one keeping what is
            learned; empty for a site alone.
        simulation: What :meth:`forward_float` rounds, and whether the observer watches it.
    """

    scale: torch.Tensor
    asked_scale: torch.Tensor
    running_range: RunningRange | None

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
        fixed: Callable[[int], float | None] | None = None,
        learn: bool = False,
        scale_grid: str = "float32",
        bits: int | None = None,
        arithmetic: Arithmetic | None = None,
        weight_rule: WeightRule | None = None,
    ) -> None:
        super().__init__()
        self.name, self.path, self.line = name, path, line
        self.inputs = inputs  # a tuple, so that nn.Module does not register them a second time
        self.dtype = dtype
        self.relu = relu
        self.observer = observer
        self.fixed = fixed
        self.learn = learn
        self.scale_grid = scale_grid
        self.bits = bits
        self.arithmetic = arithmetic or Arithmetic()
        self.weight_rule = weight_rule or WeightRule()
        self.family = family_of(self.arithmetic)
        self.shape: tuple[int, ...] = ()
        self.group: tuple[Site, ...] = ()
        self.simulation: Simulation = OBSERVED
        for buffer, persistent in (("scale", True), ("asked_scale", False)):
            self.register_buffer(buffer, torch.tensor(float("nan"), dtype=torch.float64), persistent=persistent)
        self.keep_cap()
        self.register_parameter("log_scale", None)
        self.register_module("running_range", None)

    @property
    def quant_min(self) -> int:
        """Lower clamp; a ReLU is the clamp at 0."""
        lowest = int_range(self.dtype)[0]
        if lowest and self.bits is not None:
            lowest = 0 if self.nonnegative else -(2 ** (self.bits - 1))
        return max(lowest, 0) if self.relu else lowest

    @property
    def quant_max(self) -> int:
        """Upper clamp."""
        lowest, highest = int_range(self.dtype)
        if self.bits is None:
            return highest
        return 2 ** (self.bits - 1 if lowest and not self.nonnegative else self.bits) - 1

    @property
    def nonnegative(self) -> bool:
        """Whether the result is provably ≥ 0."""
        return self.relu

    @property
    def source(self) -> "Site":
        """The site whose scale and type the result has: this one, unless it only selects among integers."""
        return self

    @property
    def tied(self) -> bool:
        """Whether the scale belongs to a group of sites, which sets it."""
        return bool(self.group)

    @property
    def is_fixed(self) -> bool:
        """Whether the config gives the scale, which then nothing moves."""
        return self.fixed is not None

    @property
    def free(self) -> bool:
        """Whether the site has a scale of its own that the config leaves open."""
        return self.observer is not None and not self.is_fixed

    @property
    def movable(self) -> bool:
        """Whether the scale may go to a float32 neighbour for the sake of a proof."""
        return self.free and self.scale_grid == "float32"

    @property
    def learned(self) -> nn.Parameter | None:
        """The parameter that learns the scale of the result; None if nothing does."""
        source = self.source
        return None if source.is_fixed else (source.group[0] if source.group else source).log_scale

    def let_range_run(self) -> None:
        """From now on move the range with the batches that are trained on, if the site has one that nothing fixes."""
        if self.free:
            self.running_range = RunningRange()

    def follow_step(self, seen: Observer) -> None:
        """Move the running range by what was seen in one step, in steps of the scale in force."""
        assert self.running_range is not None
        self.running_range.follow(seen.absmax(self.quant_max) * float(self.scale))

    def ask_scale(self, batches: int = 0) -> None:
        """Take down what config or observer ask for, and forget what was learned.

        Args:
            batches: That the observer has seen; what a running range begins with counts as much.
        """
        if self.observer is None:
            return
        steps = self.arithmetic.steps(self.quant_max)
        fixed = None if self.fixed is None else self.fixed(steps)
        if fixed is None:
            absmax = self.observer.absmax(self.quant_max)
            if self.running_range is not None:
                self.running_range.restart(absmax, batches)
        self._ask(absmax / steps if fixed is None else fixed)
        if self.log_scale is not None:
            nn.init.zeros_(self.log_scale)

    def ask_followed(self) -> None:
        """Take down what a running range asks for, if there is one."""
        if self.running_range is not None and not self.is_fixed:
            self._ask(float(self.running_range.absmax) / self.arithmetic.steps(self.quant_max))

    def _ask(self, scale: float) -> None:
        self.asked_scale.fill_(float(torch.tensor(scale, dtype=torch.float32)))

    def take_scale(self) -> None:
        """Turn what was asked for and what has been learned into the scale; members of a group wait for the group."""
        if self.observer is not None and not self.tied:
            self.scale.fill_(self.ideal_scale(0.0 if self.is_fixed else self.finest_scale()))

    def finest_scale(self) -> float:
        """Return the smallest scale that the site can have."""
        return 0.0

    def ideal_scale(self, finest: float = 0.0) -> float:
        """Return the scale asked for and learned, at least `finest`, as a number of the grid.

        Raises:
            QuantizationError: What was learned is no scale.
        """
        if self.is_fixed:
            return float(self.asked_scale)
        factor = 0.0 if self.learned is None else float(self.learned.detach())
        if not abs(factor) <= LARGEST_LOG:
            raise QuantizationError(
                f"the logarithm of the learned scale has moved by {factor}; expected at most {LARGEST_LOG:.0f}. Lower"
                " the learning rate of log_scale, or set learn=False for it in the rules of the qconfig."
            )
        wanted = max(float(self.asked_scale) * math.exp(factor), finest)
        return float(on_grid(torch.tensor(wanted, dtype=torch.float64), self.scale_grid))

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
        scale = self.output_scale().float()
        return q.float() * scale.reshape(-1, *[1] * (q.ndim - 2)) if scale.ndim else q.float() * scale

    def output_scale(self) -> torch.Tensor:
        """Return what one step of the result is worth, float64, a scalar or (C,)."""
        return self.scale

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
