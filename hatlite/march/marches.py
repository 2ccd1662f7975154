"""The marches that exist, by name."""

from hatlite.errors import MarchError
from hatlite.march.facts import Arithmetic, March, OpLimits
from hatlite.registry import nearest

__all__ = ["MARCHES", "get_march", "register_march"]

BAYES_SIM = March(
    name="bayes-sim",  # a simulated machine of the 10 TOPS class; every number is ours, none describes a product
    clock_hz=1.25e9,
    mac_array=(8, 16, 32),  # 4,096 MACs a cycle: 10.24 TOPS
    int16_cycles_per_mac=2,  # high and low byte, one after the other
    vector_lanes=256,
    sram_bytes=4 * 2**20,
    dram_bytes_per_second=16e9,
    op_overhead_cycles=512,
)

TIDL = March(
    name="tidl",  # arithmetic of TIDL in its mode of power-of-two scales; a simulated machine of the 8 TOPS class, ours
    clock_hz=1e9,
    mac_array=(1, 64, 64),  # 4,096 MACs a cycle: 8.19 TOPS
    int16_cycles_per_mac=4,
    vector_lanes=64,
    sram_bytes=8 * 2**20,
    dram_bytes_per_second=14.9e9,
    op_overhead_cycles=512,
    arithmetic=Arithmetic(
        family="shift_only",
        weight_dtypes=("int8", "int16"),
        symmetric_weights=False,
        weight_rounding="half_away",
        weight_scales=("tensor", "depthwise"),
        scale_grids=("pow2",),
        multiplier_bits=13,
        min_shift=0,
        max_shift=31,
        bias_bits=16,
        large_biases=("saturate", "reduce_weight_scale"),
    ),
)

GTI5801 = March(
    name="gti5801",  # arithmetic and limits of GTI's 5801 as they are known; the machine is simulated, its numbers ours
    clock_hz=2e8,
    mac_array=(196, 1, 16),  # a tile of 14 × 14 pixels for 16 channels: 3,136 MACs a cycle, 1.25 TOPS
    int16_cycles_per_mac=1,  # 16 bits hold outputs of 10 bits only, which no operator reads
    vector_lanes=196,
    sram_bytes=9 * 2**20,
    dram_bytes_per_second=4e8,
    op_overhead_cycles=512,
    arithmetic=Arithmetic(
        family="shift_only",
        activation_dtypes=("uint8",),
        activation_bits=5,
        output_dtypes=("uint8", "int16"),
        output_bits=10,
        unit_scales=True,
        weight_dtypes=("kernel3", "int8"),
        weight_rounding="half_away",
        weight_scales=("tensor",),
        weight_shifts=(0, 12),
        scale_grids=("float32",),
        multiplier_bits=6,  # 1, but for outputs of 10 bits, whose steps are 32 times as fine
        min_shift=0,
        max_shift=12,
        bias_bits=20,
        large_biases=("reduce_weight_scale",),
    ),
    limits=OpLimits(
        operators=("conv2d", "max_pool2d"),
        kernels=(1, 3),
        pools=(2,),
        groups=1,
        stride=2,
        dilation=1,
        channels=1024,
        side=896,
    ),
)

MARCHES: dict[str, March] = {march.name: march for march in (BAYES_SIM, TIDL, GTI5801)}


def register_march(march: March) -> March:
    """Make `march` known by its name, for example from a module that a config names in ``custom_imports``.

    Raises:
        MarchError: Another march already has this name.
    """
    if MARCHES.get(march.name, march) != march:
        raise MarchError(f"March {march.name!r} is already registered with other facts; names are unique.")
    MARCHES[march.name] = march
    return march


def get_march(name: str) -> March:
    """Return the march called `name`.

    Raises:
        MarchError: No march has this name; the message lists those that exist.
    """
    if name not in MARCHES:
        raise MarchError(
            f"march is {name!r}, which is not registered.{nearest(str(name).lower(), list(MARCHES))}"
            f"\n  Registered: {', '.join(sorted(MARCHES))}, all simulated; no facts of a product are known."
            "\n  A march of your own is registered by register_march in a module named in custom_imports."
        )
    return MARCHES[name]
