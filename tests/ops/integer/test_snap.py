"""The search finds what it promises: certified multipliers near the ideal ones, that the export can carry."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hatlite.ops.integer.certificate import agrees, agrees_on_pairs
from hatlite.ops.integer.engine_rules import ADD_RULES, CONV_RULES, Channels
from hatlite.ops.integer.fixed_point import requantize
from hatlite.ops.integer.snap import Addition, snap, snap_add, snap_mul, tied_scale

CLAMPS = st.sampled_from([(-128, 127), (0, 255), (0, 31), (-16, 15)])
SCALES = st.floats(2**-10, 2**-2).map(lambda scale: float(np.float32(scale)))


@given(st.lists(SCALES, min_size=1, max_size=8), SCALES, SCALES, CLAMPS)
def test_a_snapped_scale_makes_the_multiplier_in_the_exports_own_formula(
    weight_scale: list[float], scale_in: float, scale_out: float, clamp: tuple[int, int]
) -> None:
    found = snap(weight_scale, scale_in, scale_out, clamp, CONV_RULES)
    assert ((found.multiplier % 2 == 1) & (found.multiplier > 2**14) & (found.multiplier < 2**15)).all()
    assert ((found.shift >= 1) & (found.shift <= 46)).all()
    scale = found.weight_scale.astype(np.float32)
    assert (scale == found.weight_scale).all()
    made = scale * np.float32(scale_in) / np.float32(scale_out)
    wanted = np.ldexp(found.multiplier.astype(np.float64), -found.shift)
    np.testing.assert_array_equal(made[found.rank >= 0], wanted[found.rank >= 0])
    assert (np.abs(found.weight_scale / weight_scale - 1) < 0.07).all()
    for index, rule in enumerate(CONV_RULES):
        chosen = found.rank > index
        assert agrees(rule, found.multiplier[chosen], found.shift[chosen], clamp).all()


def test_every_ordinary_channel_is_proven_for_all_rules() -> None:
    """4,000 channels with the multipliers 2^-6…2^-10 that ordinary layers have."""
    ideal = 2.0 ** np.random.default_rng(0).uniform(-10, -6, 4000)
    found = snap(ideal, 1.0, 1.0, (-128, 127), CONV_RULES)
    assert (found.rank == len(CONV_RULES)).all()
    assert np.abs(found.weight_scale / ideal - 1).mean() < 5e-4


def test_dead_channels_and_ratios_at_the_end_of_the_range_find_a_scale() -> None:
    found = snap([2.0**-40, 2.0**-30, 0.9], 0.02, float(np.float32(0.05)), (-128, 127), CONV_RULES)
    assert (found.rank >= 1).all()


@given(SCALES, SCALES, st.floats(0.5, 2.0), st.sampled_from([(-128, 127), (0, 255)]))
@example(0.05, 0.05, 1.0, (-128, 127))
def test_an_addition_is_proven_by_all_its_pairs(
    scale_a: float, scale_b: float, headroom: float, clamp: tuple[int, int]
) -> None:
    ideal = (scale_a + scale_b) * headroom
    found = snap_add((scale_a, scale_b), ideal, Addition(((0, 255), (-128, 127)), clamp), candidates=2**12)
    ranges = ((0, 255), (-128, 127))
    agreed = [agrees_on_pairs(rule, found.multipliers, found.shift, ranges, clamp) for rule in ADD_RULES]
    assert all(agreed[: max(found.rank, 0)])
    assert abs(found.scale / ideal - 1) < 1e-3
    if found.rank >= 0:
        ratios = [float(np.float32(scale) / np.float32(found.scale)) for scale in (scale_a, scale_b)]
        assert ratios == [np.ldexp(float(m), -found.shift) for m in found.multipliers]


@pytest.mark.parametrize("seed", range(6))
def test_a_tied_scale_serves_several_additions(seed: int) -> None:
    scale_a, scale_b = map(float, np.random.default_rng(seed).uniform(2**-5, 2**-3, 2).astype(np.float32))
    ideal = float(np.float32(1.3 * max(scale_a, scale_b)))
    signed = ((-128, 127), (-128, 127))
    additions = [(Addition(signed, signed[0]), scales) for scales in ((scale_a, scale_b), (None, scale_a))]
    scale = tied_scale(additions, ideal)
    assert abs(scale / ideal - 1) < 1e-2
    for addition, scales in additions:
        own = tuple(scale if value is None else value for value in scales)
        found = snap_add(own, scale, addition, candidates=1)
        assert (found.scale, found.rank) == (scale, len(ADD_RULES))


def test_what_cannot_be_tied_together_stays_without_a_proof() -> None:
    addition = Addition(((-128, 127), (-128, 127)), (-128, 127))
    scale = tied_scale([(addition, (0.3, 1e-9))] * 2, float(np.float32(0.7)), candidates=3)
    assert scale == float(np.float32(0.7))


@settings(max_examples=20)
@given(SCALES, SCALES, st.floats(0.5, 2.0), st.sampled_from([(-128, 127), (0, 255), (0, 127)]))
def test_a_product_is_proven_for_all_its_pairs(
    scale_a: float, scale_b: float, headroom: float, clamp: tuple[int, int]
) -> None:
    ideal = float(np.float32(scale_a * scale_b * 127 * headroom))
    found = snap_mul((scale_a, scale_b), ideal, clamp)
    assert found.rank == len(CONV_RULES)
    assert abs(found.scale / ideal - 1) < 1e-2
    ratio = np.float32(scale_a) * np.float32(scale_b) / np.float32(found.scale)
    assert float(ratio) == np.ldexp(float(found.multiplier), -found.shift)
    products = np.unique(np.multiply.outer(np.arange(0, 256), np.arange(-128, 128)))
    defined = requantize(products, found.multiplier, found.shift, *clamp)
    for rule in CONV_RULES:
        got = rule.round(products[None], Channels(ratio.reshape(1, 1), np.zeros((1, 1), np.int64), clamp[0] < 0))
        assert (np.clip(got, *clamp) == defined).all()


def test_a_product_whose_scale_must_not_move_may_stay_without_a_proof() -> None:
    found = snap_mul((0.0123, 0.0456), 0.0037, (-128, 127), candidates=1)
    assert (found.scale, found.rank) == (float(np.float32(0.0037)), -1)
    assert np.ldexp(found.multiplier, -found.shift) == pytest.approx(0.0123 * 0.0456 / 0.0037, rel=2**-14)


@settings(max_examples=20)
@given(SCALES, SCALES, st.floats(0.5, 2.0))
def test_a_subtraction_is_proven_by_all_its_pairs(scale_a: float, scale_b: float, headroom: float) -> None:
    ranges, clamp = ((0, 255), (-128, 127)), (-128, 127)
    difference = Addition(ranges, clamp, signs=(1, -1))
    found = snap_add((scale_a, scale_b), (scale_a + scale_b) * headroom, difference, candidates=2**12)
    signed = (found.multipliers[0], -found.multipliers[1])
    agreed = [agrees_on_pairs(rule, signed, found.shift, ranges, clamp) for rule in ADD_RULES]
    assert all(agreed[: max(found.rank, 0)])
