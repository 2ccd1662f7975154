"""May it run there? Every operator of a program against the limits of a march."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from hatlite.march import March, OpLimits
from hatlite.program import (
    Add,
    Concat,
    Conv2d,
    DepthToSpace,
    IntProgram,
    Linear,
    Lut,
    MaxPool2d,
    Mul,
    Operator,
    Pad,
    Rescale,
    ResizeBilinear2x,
    ResizeNearest,
    Slice,
    Sub,
)

__all__ = ["LIMITS", "REMEDIES", "Finding", "legalize"]

_SMALLER = "give the image or the layers before it fewer pixels, for example by a larger stride"
_NARROWER = "give the layer fewer channels, or make them in parts that are read one by one"

REMEDIES: dict[str, str] = {
    "kernel": "stack smaller kernels, which see as far",
    "kernel side": "stack kernels of a size that there is",
    "pool window": "pool by a window and a step that there are, once or several times",
    "pool step": "pool by a window and a step that there are, once or several times",
    "groups": "let the convolution read all channels at once",
    "stride": "take the step in two layers",
    "dilation": "stack layers with smaller dilations",
    "resize factor": "resize in two steps",
    "operator": "use another operator, or another march",
    "input side": _SMALLER,
    "output side": _SMALLER,
    "input channels": _NARROWER,
    "output channels": _NARROWER,
}
"""What is limited → what to change in the network."""

Allowed = int | tuple[int, ...]
Measure = tuple[str, int, Allowed]
"""What is limited, how large it is, how large it may be, or what else it may be."""


@dataclass(frozen=True)
class Finding:
    """One thing that a march cannot do.

    Attributes:
        op: Name of the operator, or of the value that is too large.
        kind: Kind of the operator, such as ``conv2d``.
        module: Module path in the network.
        line: Source line of the call.
        limit: What is limited, such as ``kernel``.
        value: What the program has.
        allowed: The most that the march has, or all that it has; 0 when it has no such operator at all.
    """

    op: str
    kind: str
    module: str
    line: str
    limit: str
    value: int
    allowed: Allowed

    @property
    def reason(self) -> str:
        """What exceeds what, without the place."""
        if not self.allowed:
            return "the march has no such operator"
        if isinstance(self.allowed, tuple):
            return f"{self.limit} is {self.value}, the march has {' and '.join(map(str, self.allowed))} only"
        return f"{self.limit} is {self.value}, the march allows at most {self.allowed}"

    @property
    def remedy(self) -> str:
        """What to change in the network."""
        return REMEDIES[self.limit]

    def __str__(self) -> str:
        where = f"{self.op} ({self.kind}, {self.module or 'module unknown'}, {self.line or 'line unknown'})"
        return f"{where}: {self.reason}."


def _largest(limit: str, sides: tuple[int, ...], most: int, only: tuple[int, ...] = (), one: str = "") -> Measure:
    """Return what is measured of a window: the worst side where there are some sizes only, else the largest."""
    if not only:
        return limit, max(sides), most
    return one, next((side for side in sides if side not in only), only[0]), only


def _conv(op: Conv2d, limits: OpLimits) -> Iterator[Measure]:
    kernel = op.weight.values.shape[1:3]
    yield _largest("kernel", kernel, limits.kernel, limits.kernels, "kernel side")
    yield "stride", max(op.stride), limits.stride
    yield "dilation", max(op.dilation), limits.dilation
    yield "groups", op.groups, limits.groups


def _max_pool(op: MaxPool2d, limits: OpLimits) -> Iterator[Measure]:
    yield _largest("kernel", op.kernel, limits.kernel, limits.pools, "pool window")
    yield _largest("stride", op.stride, limits.stride, limits.pools, "pool step")


def _resize(op: ResizeNearest, limits: OpLimits) -> Iterator[Measure]:
    yield "resize factor", op.factor, limits.resize_factor


def _unlimited(op: Operator, limits: OpLimits) -> Iterator[Measure]:
    return iter(())


LIMITS: dict[type[Operator], Callable[[Any, OpLimits], Iterator[Measure]]] = {
    Conv2d: _conv,
    Linear: _unlimited,
    Add: _unlimited,
    MaxPool2d: _max_pool,
    ResizeNearest: _resize,
    ResizeBilinear2x: _unlimited,
    Rescale: _unlimited,
    Sub: _unlimited,
    Mul: _unlimited,
    Concat: _unlimited,
    Lut: _unlimited,
    Pad: _unlimited,
    Slice: _unlimited,
    DepthToSpace: _unlimited,
}
"""What each operator is measured by, beside the size of the values that it reads and writes."""


def legalize(program: IntProgram, march: March) -> list[Finding]:
    """Return everything in `program` that exceeds `march`, in the order of its operators; empty when it may run."""
    findings = []
    for op in program.ops:
        known = type(op) in LIMITS and op.kind in (march.limits.operators or (op.kind,))
        measures: list[Measure] = [*LIMITS[type(op)](op, march.limits)] if known else [("operator", 1, 0)]
        measures += _sizes(op, program, march.limits)
        for limit, value, allowed in measures:
            if value not in allowed if isinstance(allowed, tuple) else value > allowed:
                findings.append(Finding(op.name, op.kind, op.source.module, op.source.line, limit, value, allowed))
    return findings


def _sizes(op: Operator, program: IntProgram, limits: OpLimits) -> Iterator[Measure]:
    for role, names in (("input", op.inputs), ("output", (op.output,))):
        for name in names:
            height, width, channels = program.values[name].shape
            yield f"{role} side", max(height, width), limits.side
            yield f"{role} channels", channels, limits.channels
