"""What is quantised how."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from fnmatch import fnmatchcase
from typing import Any, Literal

from hatlite.errors import QuantizationError
from hatlite.march import MARCHES, WEIGHT_KINDS, Arithmetic, get_march
from hatlite.quantization.fuse import CONVOLUTIONS
from hatlite.quantization.observer import observer
from hatlite.quantization.scale_grid import check_grid
from hatlite.quantization.weight_scales import WeightRule
from hatlite.registry import OBJECT_REGISTRY, nearest

__all__ = ["ActivationRule", "QConfig"]

SMALLEST_SCALE = 2.0**-96
"""What the config may give lies between this and its inverse: room for products of scales in float32."""
_BITS = {"int8": range(2, 9), "int16": range(9, 16)}
_DTYPES = tuple(_BITS)
_MOVING = ("freeze", "train")
_OUTPUT_GAINS = ("shared", "per_channel")
TYPE = "type:"
"""Start of a pattern that is about the module's class and not about its path."""
WEIGHT_DTYPE = "weight_dtype"
"""Key of a rule that is about weights; all others are about the result."""


@dataclass(frozen=True)
class ActivationRule:
    """Type and scale of activations.

    Attributes:
        dtype: ``int8`` (``uint8`` where the value is provably ≥ 0) or ``int16``.
        observer: What takes the scale from the values of calibration: ``min_max``, ``percentile``, ``mean_percentile``,
            ``mse``, ``kl`` or ``mix``; with parameters ``dict(name="percentile", percentile=99.9)``.
        scale: Fixed real value of one step, such as 1 / 128; the observer then only reports. Rounded to float32.
        absmax: Fixed magnitude that the largest integer stands for, another way to say `scale`.
        bits: Fewer bits than the type has, 2…8 of ``int8`` or 9…15 of ``int16``: results are clamped to 0…2^bits − 1
            where they are provably ≥ 0, else to −2^(bits−1)…2^(bits−1) − 1. The image, raw outputs and those for which
            a DeQuantStub names another type keep what they have. None takes the bits of the march.
        learn: Whether qat trains the scale on from where calibration has put it (LSQ).
    """

    dtype: str = "int8"
    observer: str | Mapping[str, Any] = "mse"
    scale: float | None = None
    absmax: float | None = None
    learn: bool = False
    bits: int | None = None

    def __post_init__(self) -> None:
        if self.dtype not in _DTYPES:
            raise QuantizationError(f"An activation's dtype is {self.dtype!r}; expected one of {', '.join(_DTYPES)}.")
        observer(self.observer)
        self._check_bits()
        self._check_fixed()

    @property
    def fixed(self) -> bool:
        """Whether the config gives the scale."""
        return self.scale is not None or self.absmax is not None

    def fixed_scale(self, steps: int) -> float | None:
        """Return the real value of one step that the config gives, of `steps` up to absmax; None if it gives none."""
        return self.scale if self.absmax is None else self.absmax / steps

    def _check_bits(self) -> None:
        if self.bits is None:
            return
        whole = isinstance(self.bits, int) and not isinstance(self.bits, bool)
        if not whole or not any(self.bits in bits for bits in _BITS.values()):
            raise QuantizationError(f"An activation's bits is {self.bits!r}; expected 2 to 8, or 9 to 15 of int16.")
        if self.bits not in _BITS[self.dtype]:
            raise QuantizationError(
                f"An activation has {self.bits} bits and dtype {self.dtype!r}, which has {_BITS[self.dtype][0]} to"
                f" {_BITS[self.dtype][-1]}; give the other dtype, or leave bits out."
            )

    def _check_fixed(self) -> None:
        for name in ("scale", "absmax"):
            value = getattr(self, name)
            if value is not None and not _is_float32_above_0(value):
                raise QuantizationError(
                    f"An activation's {name} is {value!r}; expected a finite number above 0 that float32 holds, such as"
                    " 1 / 128."
                )
        if self.scale is not None and self.absmax is not None:
            raise QuantizationError(
                f"An activation has scale {self.scale} and absmax {self.absmax}, which both fix its scale; give one."
            )
        if not isinstance(self.learn, bool):
            raise QuantizationError(f"An activation's learn is {self.learn!r}; expected True or False.")
        if self.learn and self.fixed:
            raise QuantizationError("An activation's scale cannot be fixed and learned; give scale or learn=True.")


def _is_float32_above_0(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return SMALLEST_SCALE <= value <= 1 / SMALLEST_SCALE


@OBJECT_REGISTRY.register
@dataclass(frozen=True)
class QConfig:
    """Quantisation of a whole network. Scales of weights are those of their largest magnitude.

    Attributes:
        activation: Rule of every activation, ``dict(dtype="int8", observer="mse")``; keys of :class:`ActivationRule`
            without `scale` and `absmax`.
        weight: Kind of all weights, ``dict(dtype="int16")``; empty takes the march's first, ``int8``. Where the march
            has kernels of codes, or one shift per layer, also the keys of
            :class:`~hatlite.quantization.weight_scales.WeightRule`.
        first_and_last: ``int16`` gives 16-bit weights and 16-bit results to the convolutions and linear layers next to
            the border: those that read the image and those whose results leave the network, whatever type their
            DeQuantStub names. Operations that only move values may lie between. None makes no difference.
        rules: Exceptions, pattern → keys of :class:`ActivationRule` and `weight_dtype`, the type of the weights; the
            first that matches wins, also over `first_and_last`. A pattern is one of module paths,
            ``{"neck.*": dict(dtype="int16")}``, or of classes, base classes included,
            ``{"type:Conv2d": dict(learn=True)}``. One that matches no operation is an error before the first batch; a
            batch norm or ReLU behind a convolution belongs to it.
        scale_grid: ``float32`` or ``pow2``: what scales of activations, and of weights before they are snapped, may be.
            ``pow2`` takes the next power of two upwards. None takes what the march has.
        weight_scales: What shares one weight scale: ``channel``, ``tensor``, or ``depthwise``, which is ``tensor`` but
            for depthwise convolutions. None takes what the march has.
        large_bias: What happens to a bias that the bits of the march do not hold: ``reduce_weight_scale`` or
            ``saturate``. None takes what the march does.
        bn: ``freeze`` keeps the running statistics of batch norms as float training left them; ``train`` lets the first
            part of qat move them, at the price of a second convolution in front of each.
        bn_freeze_epoch: Epochs of qat after which ``bn="train"`` freezes; None never does. ``"half"`` is where TI's
            toolkit freezes: one epoch before half of them, rounded down, is over, but after one at least.
        ranges: ``freeze`` keeps the ranges of activations, hence scales, as calibration left them; ``train`` lets qat
            move them by a running mean of what the observer says of each step. Scales that the config fixes stay.
        range_freeze_epoch: Epochs of qat after which ``ranges="train"`` freezes; None never does. ``"half"`` is one
            epoch behind half of them, rounded down.
        output_gains: ``shared``: one range for all channels of an output. ``per_channel``: calibration finds that of
            each and scales the rows of the layer in front, so that they share one; the DeQuantStub takes the factors
            back.
        march: Whose arithmetic it is; a run gives that of its config.
    """

    activation: Mapping[str, Any] = field(default_factory=dict)
    weight: Mapping[str, Any] = field(default_factory=dict)
    first_and_last: str | None = None
    rules: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    scale_grid: str | None = None
    weight_scales: str | None = None
    large_bias: str | None = None
    bn: str = "freeze"
    bn_freeze_epoch: int | Literal["half"] | None = None
    ranges: str = "freeze"
    range_freeze_epoch: int | Literal["half"] | None = None
    output_gains: str = "shared"
    march: str = "bayes-sim"

    def __post_init__(self) -> None:
        for key in ("scale", "absmax"):
            if key in self.activation:
                raise QuantizationError(
                    f"config['qconfig']['activation'] gives {key} to every activation; give it in rules, to those that"
                    " have it."
                )
        if WEIGHT_DTYPE in self.activation:
            raise QuantizationError(
                "config['qconfig']['activation'] has weight_dtype, which is not about activations; give"
                " weight=dict(dtype=…) beside it, or weight_dtype in rules."
            )
        places = {"['activation']": self.activation, **{f"['rules'][{p!r}]": rule for p, rule in self.rules.items()}}
        learned = [place for place, mapping in places.items() if self._rule_at(place, mapping).learn]
        self._check_march()
        self._check_weights()
        if self.output_gains not in _OUTPUT_GAINS:
            raise QuantizationError(
                f"config['qconfig']['output_gains'] is {self.output_gains!r}; expected 'shared' or 'per_channel'."
            )
        self._check_moving("bn", "bn_freeze_epoch")
        self._check_moving("ranges", "range_freeze_epoch")
        if learned and self.ranges == "train":
            raise QuantizationError(
                "config['qconfig'] has ranges='train' and learn=True, which both move scales; leave out one of them."
            )

    def _check_moving(self, key: str, freeze_key: str) -> None:
        what, epoch = getattr(self, key), getattr(self, freeze_key)
        if what not in _MOVING:
            raise QuantizationError(
                f"config['qconfig'][{key!r}] is {what!r}; expected {' or '.join(map(repr, _MOVING))}."
            )
        number = isinstance(epoch, int) and not isinstance(epoch, bool) and epoch >= 1
        if epoch is not None and (what == "freeze" or not (number or epoch == "half")):
            raise QuantizationError(
                f"config['qconfig'][{freeze_key!r}] is {epoch!r} with {key}={what!r}; expected 1 or more epochs, or"
                f" 'half', and {key}='train', or leave it out."
            )

    @property
    def arithmetic(self) -> Arithmetic:
        """The arithmetic of the march, with what is chosen here alone where it leaves a choice."""
        chosen = {
            "weight_dtypes": self.weight.get("dtype"),
            "weight_scales": self.weight_scales,
            "large_biases": self.large_bias,
        }
        given = {name: (value,) for name, value in chosen.items() if value is not None}
        return replace(get_march(self.march).arithmetic, **given)

    @property
    def weight_rule(self) -> WeightRule:
        """How real weights become integers of their kind."""
        return WeightRule(**{key: value for key, value in self.weight.items() if key != "dtype"})

    @property
    def grid(self) -> str:
        """Numbers that scales may be, a key of :data:`~hatlite.quantization.scale_grid.SCALE_GRIDS`."""
        return self.scale_grid or self.arithmetic.scale_grids[0]

    def _check_march(self) -> None:
        if self.scale_grid is not None:
            check_grid(self.scale_grid)
        facts = get_march(self.march).arithmetic
        for key, known in (
            ("scale_grid", facts.scale_grids),
            ("weight_scales", facts.weight_scales),
            ("large_bias", facts.large_biases),
        ):
            given = getattr(self, key)
            if given is not None and given not in known:
                raise QuantizationError(
                    f"config['qconfig'][{key!r}] is {given!r}; the march {self.march!r} has"
                    f" {' and '.join(map(repr, known))}. Leave {key} out to take {known[0]!r}."
                )

    def _check_weights(self) -> None:
        """Every type that is asked of a weight is one that the march has."""
        facts = get_march(self.march).arithmetic
        coded = any(WEIGHT_KINDS[kind].levels for kind in facts.weight_dtypes)
        expected = ["dtype", *["step"] * coded, *["shift", "shift_hysteresis"] * (facts.weight_shifts is not None)]
        if wrong := sorted(set(self.weight) - set(expected)):
            raise QuantizationError(
                f"config['qconfig']['weight'] has unknown keys {', '.join(wrong)}; expected {', '.join(expected)}."
            )
        _ = self.weight_rule
        if self.first_and_last not in (None, "int16"):
            raise QuantizationError(
                f"config['qconfig']['first_and_last'] is {self.first_and_last!r}; expected 'int16', or leave it out."
            )
        asked = {"['weight']['dtype']": self.weight.get("dtype"), "['first_and_last']": self.first_and_last}
        asked |= {f"['rules'][{p!r}][{WEIGHT_DTYPE!r}]": rule.get(WEIGHT_DTYPE) for p, rule in self.rules.items()}
        known = facts.weight_dtypes
        for place, dtype in asked.items():
            if dtype is not None and dtype not in known:
                able = [name for name, march in MARCHES.items() if dtype in march.arithmetic.weight_dtypes]
                raise QuantizationError(
                    f"config['qconfig']{place} is {dtype!r}; the march {self.march!r} has weights of"
                    f" {' and '.join(known)} only. Leave it out"
                    + (f", or take the march {' or '.join(map(repr, able))}." if able else ".")
                )

    def _rule(self, mapping: Mapping[str, Any]) -> ActivationRule:
        merged = {**self.activation, **{key: value for key, value in mapping.items() if key != WEIGHT_DTYPE}}
        if "learn" not in mapping and {"scale", "absmax"} & set(mapping):
            merged["learn"] = False  # a rule that fixes a scale takes it out of what the whole network learns
        return ActivationRule(**merged)

    def _rule_at(self, place: str, mapping: Mapping[str, Any]) -> ActivationRule:
        """Return the rule of a mapping; what is wrong with it is told with its `place` in the qconfig."""
        known = [key.name for key in fields(ActivationRule)] + [WEIGHT_DTYPE]
        if wrong := [str(key) for key in mapping if key not in known]:
            raise QuantizationError(
                f"config['qconfig']{place} has unknown keys {', '.join(wrong)}; expected {', '.join(known)}."
                f"{nearest(wrong[0], known)}"
            )
        try:
            rule = self._rule(mapping)
        except QuantizationError as problem:
            problem.locate(f"config['qconfig']{place}")
            raise
        bits = get_march(self.march).arithmetic.value_bits(rule.dtype)
        if rule.bits is not None and bits not in (None, rule.bits):
            raise QuantizationError(
                f"config['qconfig']{place} asks for {rule.bits} bits of {rule.dtype}; the march {self.march!r} has"
                f" {bits}. Leave bits out."
            )
        return rule

    def of(self, path: str, kind: type = object, *, outer: bool = False) -> ActivationRule:
        """Return the rule of the module of class `kind` at `path`; `outer`: it stands next to the border."""
        if not outer or self.first_and_last is None:
            return self._rule(self._exception(path, kind))
        return self._rule({"dtype": self.first_and_last, "bits": None, **self._exception(path, kind)})

    def arithmetic_of(self, path: str, kind: type = object, *, outer: bool = False) -> Arithmetic:
        """Return :attr:`arithmetic` with the one type that the weights of this module have; arguments as :meth:`of`."""
        chosen = self._exception(path, kind).get(WEIGHT_DTYPE) or (self.first_and_last if outer else None)
        return replace(self.arithmetic, weight_dtypes=(chosen,)) if chosen else self.arithmetic

    def _exception(self, path: str, kind: type) -> Mapping[str, Any]:
        return next((rule for pattern, rule in self.rules.items() if _matches(pattern, path, kind)), {})

    def check_matched(self, modules: Iterable[tuple[str, type]]) -> None:
        """Raise when a pattern matches none of `modules`, given as paths and classes."""
        modules = list(modules)
        for pattern, rule in self.rules.items():
            matched = [kind for path, kind in modules if _matches(pattern, path, kind)]
            if matched and WEIGHT_DTYPE in rule and not any(issubclass(kind, CONVOLUTIONS) for kind in matched):
                raise QuantizationError(
                    f"config['qconfig']['rules'][{pattern!r}] gives weight_dtype and matches nothing that has weights;"
                    " widen the pattern to a convolution or linear layer, or remove weight_dtype."
                )
            if not matched:
                near = [path for path, _ in modules] + [TYPE + kind.__name__ for _, kind in modules]
                raise QuantizationError(
                    f"config['qconfig']['rules'][{pattern!r}] matches no operation of the network; write a pattern of"
                    f" module paths, such as 'neck.*', or of classes, such as 'type:Conv2d', or remove it."
                    f"{nearest(pattern, near)}"
                )


def _matches(pattern: str, path: str, kind: type) -> bool:
    if pattern.startswith(TYPE):
        return any(fnmatchcase(base.__name__, pattern.removeprefix(TYPE)) for base in kind.__mro__)
    return fnmatchcase(path, pattern)
