"""Facts of hardware: what it computes exactly (:class:`Arithmetic`) and how much of it there is (:class:`March`).

Choices of the compiler do not belong here; a march states only what cannot be chosen.
"""

from dataclasses import dataclass, field, replace

from hatlite.errors import MarchError
from hatlite.qparams import INT_TYPES

__all__ = ["Arithmetic", "March", "OpLimits"]

FAMILIES = ("multiplier_shift", "shift_only")
ROUNDINGS = ("half_up",)
WEIGHT_ROUNDINGS = ("half_even", "half_away")
WEIGHT_SCALES = ("channel", "tensor", "depthwise")
SCALE_GRIDS = ("float32", "pow2")
LARGE_BIASES = ("reduce_weight_scale", "saturate")


@dataclass(frozen=True)
class Arithmetic:
    """The integers that a march computes with: ``y = clamp((acc · M + 2^(s−1)) >> s)`` per output channel.

    Attributes:
        family: ``multiplier_shift``: any positive scale, requantised by an odd multiplier M and a right shift s.
            ``shift_only``: scales are powers of two, M is 1 (or a shift to the left where s is 0).
        activation_dtypes: Types that a value between operators can have.
        output_dtypes: Types in which a value can leave the accelerator; ``int32`` is the raw accumulator.
        weight_dtypes: Types that the weights of a layer can have, the default first.
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
    output_dtypes: tuple[str, ...] = ("int8", "uint8", "int16", "int32")
    weight_dtypes: tuple[str, ...] = ("int8",)
    symmetric_weights: bool = True
    weight_rounding: str = "half_even"
    weight_scales: tuple[str, ...] = ("channel",)
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
        for dtype in (*self.activation_dtypes, *self.output_dtypes, *self.weight_dtypes):
            if dtype not in INT_TYPES:
                raise MarchError(
                    f"Arithmetic: dtype {dtype!r} does not exist; expected some of {', '.join(INT_TYPES)}."
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

    def weight_range(self, dtype: str) -> tuple[int, int]:
        """Return the smallest and the largest weight of type `dtype`."""
        facts = INT_TYPES[dtype]
        return (-facts.quant_max if self.symmetric_weights else facts.quant_min), facts.quant_max

    def bias_bits_behind(self, *dtypes: str) -> int:
        """Return the width of the bias where values, and weights if there are any, have these types."""
        return self.bias_bits if _are_bytes(dtypes) else self.wide_bias_bits

    def accumulator_bits_behind(self, *dtypes: str) -> int:
        """Return the width of the accumulator in which products of values and weights of these types are summed."""
        return self.accumulator_bits if _are_bytes(dtypes) else self.wide_accumulator_bits


def _are_bytes(dtypes: tuple[str, ...]) -> bool:
    return all(INT_TYPES[dtype].bytes == 1 for dtype in dtypes)


@dataclass(frozen=True)
class OpLimits:
    """Largest sizes that one operator may have; ours, for a virtual machine.

    Attributes:
        kernel: Height and width of a kernel, in pixels.
        stride: Step of a window, in pixels.
        dilation: Distance of two kernel taps, in pixels.
        channels: Channels of an input or output.
        side: Height and width of an input or output, in pixels.
        resize_factor: Whole factor of a nearest resize.
    """

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
