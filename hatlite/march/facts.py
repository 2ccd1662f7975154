"""Facts of hardware: what it computes exactly (:class:`Arithmetic`) and how much of it there is (:class:`March`).

Choices of the compiler do not belong here; a march states only what cannot be chosen.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from hatlite.errors import MarchError
from hatlite.qparams import INT_TYPES

__all__ = ["WEIGHT_KINDS", "Arithmetic", "March", "OpLimits", "WeightKind"]

FAMILIES = ("multiplier_shift", "shift_only")
ROUNDINGS = ("half_up",)
WEIGHT_ROUNDINGS = ("half_even", "half_away")
WEIGHT_SCALES = ("channel", "tensor", "depthwise")
SCALE_GRIDS = ("float32", "pow2")
LARGE_BIASES = ("reduce_weight_scale", "saturate")


@dataclass(frozen=True)
class WeightKind:
    """What the weights of a layer are.

    Attributes:
        dtype: Integer type that holds them.
        levels: Magnitudes that the weights of one kernel have, in steps of that kernel; none means all integers.
        bits: Of one weight in the memory of weights.
        step_bits: Of the step of one kernel there; 0 where there is none.
    """

    dtype: str
    bits: int
    levels: tuple[int, ...] = ()
    step_bits: int = 0


WEIGHT_KINDS: Mapping[str, WeightKind] = {
    "int8": WeightKind("int8", 8),
    "int16": WeightKind("int16", 16),
    "kernel3": WeightKind("int8", 3, (0, 1, 2, 4), 8),
}
"""By the names that ``weight_dtypes`` has for them; ``kernel3`` has a code of sign and magnitude for every weight of a
kernel, which is one output channel's window on one input channel, and one step for all of these."""


@dataclass(frozen=True)
class Arithmetic:
    """The integers that a march computes with: ``y = clamp((acc · M + 2^(s−1)) >> s)`` per output channel.

    Attributes:
        family: ``multiplier_shift``: any positive scale, requantised by an odd multiplier M and a right shift s.
            ``shift_only``: scales are powers of two, M is 1 (or a shift to the left where s is 0).
        activation_dtypes: Types that a value between operators can have.
        activation_bits: Bits of such values of one byte, where they are fewer than the type has.
        output_dtypes: Types in which a value can leave the accelerator; ``int32`` is the raw accumulator.
        output_bits: Bits of values of 16 bits that leave, where they are fewer than the type has; the smallest is 0.
        unit_scales: Whether every value has scale 1 (one of 16 bits that leaves: 2^(activation_bits − output_bits), so
            that both reach equally far): real ranges are then part of the weights.
        weight_dtypes: Kinds that the weights of a layer can have (:data:`WEIGHT_KINDS`), the default first.
        weight_shifts: Smallest and largest s of the one weight scale 2^−s of a layer; None where scales are free.
        symmetric_weights: Whether the smallest integer of such a type is left out, so that every weight has a negative.
        weight_rounding: What happens to a weight or bias halfway between two integers.
        weight_scales: What may share one weight scale, the default first: each ``channel`` has its own; the whole
            ``tensor`` has one; ``depthwise`` convolutions have one per channel, others one per tensor.
        scale_grids: Numbers that scales may be, the default first.
        multiplier_bits: 2^(bits−1) < M < 2^bits, M odd. With M ≥ 2·quant_max + 3 no unsaturated result is ever a tie
            at 8 bits, so that every way to round a half is the same function. Of ``shift_only``: M < 2^bits.
        min_shift: Smallest s.
        max_shift: s lies in min_shift…max_shift.
        add_multiplier_bits: Bits of the two multipliers of an add; the larger one uses all of them, unless they are
            powers of two.
        rounding: What happens to an exact half.
        bias_bits: Width of the signed bias where 8-bit activations meet 8-bit weights.
        wide_bias_bits: Width of the signed bias where one of them has 16 bits.
        large_biases: What happens to a bias that its bits do not hold, the default first: ``reduce_weight_scale`` takes
            larger steps of weights, so that it fits; ``saturate`` cuts it off.
        accumulator_bits: Width of the signed accumulator where 8-bit activations meet 8-bit weights.
        wide_accumulator_bits: Width of the accumulator where one of them has 16 bits.
    """

    family: str = "multiplier_shift"
    activation_dtypes: tuple[str, ...] = ("int8", "uint8", "int16")
    activation_bits: int | None = None
    output_dtypes: tuple[str, ...] = ("int8", "uint8", "int16", "int32")
    output_bits: int | None = None
    unit_scales: bool = False
    weight_dtypes: tuple[str, ...] = ("int8",)
    symmetric_weights: bool = True
    weight_rounding: str = "half_even"
    weight_scales: tuple[str, ...] = ("channel",)
    weight_shifts: tuple[int, int] | None = None
    scale_grids: tuple[str, ...] = ("float32", "pow2")
    multiplier_bits: int = 15
    min_shift: int = 1
    max_shift: int = 46
    add_multiplier_bits: int = 20
    rounding: str = "half_up"
    bias_bits: int = 32
    wide_bias_bits: int = 32
    large_biases: tuple[str, ...] = ("reduce_weight_scale",)
    accumulator_bits: int = 32
    wide_accumulator_bits: int = 64

    def __post_init__(self) -> None:
        for name, known in (
            ("family", FAMILIES),
            ("rounding", ROUNDINGS),
            ("weight_rounding", WEIGHT_ROUNDINGS),
            ("weight_scales", WEIGHT_SCALES),
            ("scale_grids", SCALE_GRIDS),
            ("large_biases", LARGE_BIASES),
        ):
            given = getattr(self, name)
            for value in given if isinstance(given, tuple) else (given,):
                if value not in known:
                    raise MarchError(f"Arithmetic: {name} is {value!r}; expected one of {', '.join(known)}.")
        values = (*self.activation_dtypes, *self.output_dtypes)
        for dtypes, exist in ((values, INT_TYPES), (self.weight_dtypes, WEIGHT_KINDS)):
            for dtype in dtypes:
                if dtype not in exist:
                    raise MarchError(
                        f"Arithmetic: dtype {dtype!r} does not exist; expected some of {', '.join(exist)}."
                    )

    @property
    def powers_of_two(self) -> bool:
        """Whether every scale must be a power of two."""
        return self.scale_grids == ("pow2",)

    def computes_like(self, other: "Arithmetic") -> bool:
        """Return whether constants made for the other are right here; which types and choices there are is no part."""
        free = ("activation_dtypes", "output_dtypes", "weight_dtypes", "weight_scales", "large_biases")
        return replace(self, **{name: getattr(other, name) for name in free}) == other

    def steps(self, quant_max: int) -> int:
        """Return the steps of a range above 0: where ranges are powers of two, their upper end itself saturates."""
        return quant_max + 1 if self.powers_of_two else quant_max

    def value_bits(self, dtype: str) -> int | None:
        """Return the bits of values of `dtype`; None where they are all that the type has."""
        return {1: self.activation_bits, 2: self.output_bits}.get(INT_TYPES[dtype].bytes)

    def unit_scale(self, dtype: str) -> float | None:
        """Return the one scale that values of `dtype` have; None where scales are free."""
        if not self.unit_scales:
            return None
        bits, first = self.value_bits(dtype), self.activation_bits
        return 2.0 ** (first - bits) if bits is not None and first is not None else 1.0

    def weight_range(self, dtype: str) -> tuple[int, int]:
        """Return the smallest and the largest weight of kind `dtype`."""
        facts = INT_TYPES[WEIGHT_KINDS[dtype].dtype]
        return (-facts.quant_max if self.symmetric_weights else facts.quant_min), facts.quant_max

    def bias_bits_behind(self, *dtypes: str) -> int:
        """Return the width of the bias where values, and weights if there are any, have these types or kinds."""
        return self.bias_bits if _are_bytes(dtypes) else self.wide_bias_bits

    def accumulator_bits_behind(self, *dtypes: str) -> int:
        """Return the width of the accumulator in which products of values and weights of these types are summed."""
        return self.accumulator_bits if _are_bytes(dtypes) else self.wide_accumulator_bits


def _are_bytes(dtypes: tuple[str, ...]) -> bool:
    held = (WEIGHT_KINDS[dtype].dtype if dtype in WEIGHT_KINDS else dtype for dtype in dtypes)
    return all(INT_TYPES[dtype].bytes == 1 for dtype in held)


@dataclass(frozen=True)
class OpLimits:
    """What one operator may be, and its largest sizes; ours where the machine is a virtual one.

    Attributes:
        operators: Kinds that there are, such as ``conv2d``; empty: all.
        kernels: Sides that kernels of convolutions have; empty: all up to `kernel`.
        pools: Sides, and steps, that windows of max pools have; empty: all up to `kernel` and `stride`.
        groups: Groups of channels of a convolution.
        kernel: Height and width of a kernel, in pixels.
        stride: Step of a window, in pixels.
        dilation: Distance of two kernel taps, in pixels.
        channels: Channels of an input or output.
        side: Height and width of an input or output, in pixels.
        resize_factor: Whole factor of a nearest resize.
    """

    operators: tuple[str, ...] = ()
    kernels: tuple[int, ...] = ()
    pools: tuple[int, ...] = ()
    groups: int = 8192
    kernel: int = 31
    stride: int = 8
    dilation: int = 16
    channels: int = 8192
    side: int = 8192
    resize_factor: int = 8


@dataclass(frozen=True)
class March:
    """One generation of an accelerator.

    Attributes:
        name: As written in configs, such as ``bayes-sim``.
        clock_hz: Cycles per second.
        mac_array: Multiply-accumulates that start in one cycle, as (pixels, input channels, output channels).
        int16_cycles_per_mac: Cycles of the array where activation, weight or both have 16 bits, instead of one.
        vector_lanes: Values that adds, pools, resizes and rescales handle in one cycle.
        sram_bytes: On-chip memory for activations and weights.
        dram_bytes_per_second: Sustained rate of the memory outside.
        op_overhead_cycles: Cycles to set up one operator.
        arithmetic: What it computes, exactly.
        limits: Largest sizes of one operator.

    Raises:
        MarchError: A number that must be positive is not.
    """

    name: str
    clock_hz: float
    mac_array: tuple[int, int, int]
    int16_cycles_per_mac: int
    vector_lanes: int
    sram_bytes: int
    dram_bytes_per_second: float
    op_overhead_cycles: int = 0
    arithmetic: Arithmetic = field(default_factory=Arithmetic)
    limits: OpLimits = field(default_factory=OpLimits)

    def __post_init__(self) -> None:
        facts = ("clock_hz", "int16_cycles_per_mac", "vector_lanes", "sram_bytes", "dram_bytes_per_second")
        for name in facts:
            if not getattr(self, name) > 0:
                raise MarchError(f"March {self.name!r}: {name} is {getattr(self, name)}; expected a number above 0.")
        if len(self.mac_array) != 3 or min(self.mac_array) < 1:
            raise MarchError(f"March {self.name!r}: mac_array is {self.mac_array}; expected three counts of 1 or more.")

    @property
    def macs_per_cycle(self) -> int:
        """8-bit multiply-accumulates per cycle when every lane is busy."""
        pixels, channels_in, channels_out = self.mac_array
        return pixels * channels_in * channels_out

    @property
    def depthwise_macs_per_cycle(self) -> int:
        """The same for a depthwise convolution, which cannot share inputs and leaves the input-channel lanes idle."""
        pixels, _, channels_out = self.mac_array
        return pixels * channels_out

    @property
    def tops(self) -> float:
        """Peak 8-bit speed in 10^12 operations per second; 1 MAC counts as 2 operations."""
        return 2 * self.macs_per_cycle * self.clock_hz / 1e12
