"""The range report says what was seen, what was kept, and how much saturates."""

import torch
from networks import ProofNetwork, images

from hatlite.quantization import QConfig, format_ranges, prepare, site_ranges


def test_rows_follow_from_observer_and_scale() -> None:
    graph = prepare(ProofNetwork(), QConfig(activation=dict(observer="percentile")), images(1, 36, 52))
    with torch.no_grad():
        graph(images(2, 36, 52))
    graph.finish_calibration()
    rows = {row.name: row for row in site_ranges(graph)}
    assert "quant" not in rows, "a fixed scale has no range of its own"
    stem = rows["backbone_stem"]
    assert stem.kept == float(graph.sites["backbone_stem"].scale) * 255
    assert 0 < stem.kept <= stem.seen
    assert 0 <= stem.saturated < 0.01
    table = format_ranges(rows.values())
    assert f"| backbone_stem | uint8 | {stem.seen:.4g} |" in table
    assert f"| {stem.scale:.4g} | percentile | {stem.saturated:.3%} |" in table
    assert stem.line.startswith("tests/networks.py:") and stem.line in table


def test_min_max_saturates_nothing_and_says_nothing() -> None:
    graph = prepare(ProofNetwork(), QConfig(activation=dict(observer="min_max")), images(1, 36, 52))
    with torch.no_grad():
        graph(images(2, 36, 52))
    graph.finish_calibration()
    assert {row.saturated for row in site_ranges(graph)} == {None}
    assert all(abs(row.kept - row.seen) <= 0.5 * row.scale + 2**-15 for row in site_ranges(graph))


def test_mix_says_which_observer_won_at_each_site() -> None:
    graph = prepare(ProofNetwork(), QConfig(activation=dict(observer="mix")), images(1, 36, 52))
    with torch.no_grad():
        graph(images(2, 36, 52))
    graph.finish_calibration()
    rows = site_ranges(graph)
    rules = {row.rule for row in rows}
    assert len(rules) > 1 and rules <= {f"mix: {name}" for name in ("min_max", "percentile", "mse", "kl")}
    assert all(f"| {row.rule} |" in format_ranges([row]) for row in rows)
