"""The range report says what was seen, what was kept, and how much saturates."""

import torch
from networks import ProofNetwork, images

from hatlite.quantization import QConfig, format_ranges, prepare, scale_moves, site_ranges


def test_rows_follow_from_observer_and_scale() -> None:
    graph = prepare(ProofNetwork(), QConfig(activation=dict(observer="percentile")), images(1, 36, 52))
    with torch.no_grad():
        graph(images(2, 36, 52))
    graph.finish_calibration()
    rows = {row.name: row for row in site_ranges(graph)}
    assert [name for name, row in rows.items() if row.rule == "fixed"] == ["quant"]
    assert (rows["quant"].scale, rows["quant"].kept) == (1 / 128, 127 / 128)
    stem = rows["backbone_stem"]
    assert stem.kept == float(graph.sites["backbone_stem"].scale) * 255
    assert 0 < stem.kept <= stem.seen
    assert 0 <= stem.saturated < 0.01
    table = format_ranges(rows.values())
    assert "| quant | int8 | 1 | 0.9922 | 0.007812 | fixed |" in table
    assert f"| backbone_stem | uint8 | {stem.seen:.4g} |" in table
    assert f"| {stem.scale:.4g} | percentile | {stem.saturated:.3%} |" in table
    assert stem.line.startswith("tests/networks.py:") and stem.line in table


def test_min_max_saturates_nothing_and_says_nothing() -> None:
    graph = prepare(ProofNetwork(), QConfig(activation=dict(observer="min_max")), images(1, 36, 52))
    with torch.no_grad():
        graph(images(2, 36, 52))
    graph.finish_calibration()
    assert {row.saturated for row in site_ranges(graph)} == {None}
    asked = [row for row in site_ranges(graph) if row.rule != "fixed"]
    assert len(asked) > 10
    assert all(abs(row.kept - row.seen) <= 0.5 * row.scale + 2**-15 for row in asked)


def test_mix_says_which_observer_won_at_each_site() -> None:
    graph = prepare(ProofNetwork(), QConfig(activation=dict(observer="mix")), images(1, 36, 52))
    with torch.no_grad():
        graph(images(2, 36, 52))
    graph.finish_calibration()
    rows = [row for row in site_ranges(graph) if row.rule != "fixed"]
    rules = {row.rule for row in rows}
    assert len(rules) > 1 and rules <= {f"mix: {name}" for name in ("min_max", "percentile", "mse", "kl")}
    assert all(f"| {row.rule} |" in format_ranges([row]) for row in rows)


def test_moves_of_scales_are_those_of_the_buffers() -> None:
    graph = prepare(ProofNetwork(), QConfig(), images(1, 36, 52))
    with torch.no_grad():
        graph(images(2, 36, 52))
    graph.finish_calibration()
    moves = scale_moves(graph)
    weighted = [name for name, site in graph.sites.items() if hasattr(site, "weight_scale")]
    assert list(moves) == weighted and "backbone_blocks_0_add" not in moves
    for name, shares in moves.items():
        site = graph.sites[name]
        assert shares == (site.weight_scale / site.ideal_weight_scale - 1).abs().tolist()
        assert len(shares) == site.layer.weight.shape[0] and max(shares) < 2**-6
    assert max(moves["backbone_stem"]) > 0
