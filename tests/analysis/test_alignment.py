"""A graph and its program agree; whatever is changed on one side is found and named."""

import copy
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from networks import ProofNetwork, images

from hatlite.analysis import alignment, check_alignment, record
from hatlite.errors import ProgramError, QuantizationError
from hatlite.lowering import lower
from hatlite.march import get_march
from hatlite.program import Conv2d, IntProgram, Weight, limits_of, load, save
from hatlite.quantization import FakeQuantGraph, QConfig, prepare
from hatlite.quantization.sites import AddSite

SIZE = (36, 52)
CHANGED = "backbone_blocks_2_project"


@pytest.fixture(scope="module")
def graph() -> FakeQuantGraph:
    graph = prepare(ProofNetwork(), QConfig(), images(1, *SIZE))
    with torch.no_grad():
        graph(images(2, *SIZE))
    graph.finish_calibration()
    return graph.eval()


@pytest.fixture
def path(graph: FakeQuantGraph, tmp_path: Path) -> Path:
    return save(lower(graph, get_march("bayes-sim"), name="proof"), tmp_path / "proof.hbir")


def rewrite(path: Path, change: Callable[[IntProgram], IntProgram]) -> None:
    save(change(load(path)), path)


def negate_a_filter(program: IntProgram) -> IntProgram:
    def changed(op: Conv2d) -> Conv2d:
        values = op.weight.values.copy()
        values[0] = -values[0]
        return replace(op, weight=Weight(values))

    return replace(program, ops=tuple(changed(op) if op.output == CHANGED else op for op in program.ops))


def test_every_integer_is_equal(graph: FakeQuantGraph, path: Path) -> None:
    batches = [images(1, *SIZE, seed=3), images(1, *SIZE, seed=4, full_scale=True)]
    report = check_alignment(graph, path, batches)
    assert report.passed
    assert report.summary() == "2 images, 55 tensors, 144,526 integers compared, 0 differ (eval and train mode)"
    assert [layer.name for layer in report.layers] == list(load(path).values)
    first = report.layers[1]
    assert (first.kind, first.name, first.module, first.dtype) == ("conv2d", "backbone_stem", "backbone.stem", "uint8")
    assert first.line.startswith("tests/networks.py:")
    assert first.elements == 2 * 18 * 26 * 8
    assert not any(module.training for module in graph.modules())
    found = json.loads(json.dumps(report.to_dict()))
    assert (found["passed"], found["modes"], len(found["layers"])) == (True, ["eval", "train"], 55)


def test_a_changed_weight_is_found_with_its_layer(graph: FakeQuantGraph, path: Path) -> None:
    rewrite(path, negate_a_filter)
    report = check_alignment(graph, path, [images(1, *SIZE, seed=3)], modes=["eval"])
    assert not report.passed
    assert report.first_difference.name == CHANGED
    assert report.stale == (CHANGED,)
    layers = {layer.name: layer for layer in report.layers}
    assert 0 < layers[CHANGED].differing <= layers[CHANGED].elements // 8  # one channel of eight
    assert report.max_lsb == max(layer.max_lsb for layer in report.layers) > 0
    assert layers["backbone_blocks_1_add"].passed and not layers["backbone_blocks_2_add"].passed
    worst = report.table().splitlines()[1].split()[0]
    assert layers[worst].max_lsb == report.max_lsb
    assert f"The first layer to look at is conv2d '{CHANGED}' (backbone.blocks.2.project tests/" in report.summary()


def test_a_graph_that_was_trained_further_fails_and_says_why(graph: FakeQuantGraph, path: Path) -> None:
    trained = copy.deepcopy(graph)
    with torch.no_grad():
        for parameter in trained.parameters():
            parameter.mul_(0.9)
    trained.refresh()
    report = check_alignment(trained, path, [images(1, *SIZE)], modes=["eval"])
    assert not report.passed
    assert f"{path} is of other weights than the graph: " in report.summary()
    assert report.summary().endswith("first 'backbone_stem'. Lower the graph again.")


def test_a_stale_constant_fails_even_where_no_integer_shows_it(graph: FakeQuantGraph, path: Path) -> None:
    dead = next(op for op in load(path).ops if op.output == "backbone_stem")  # batch norm killed channel 1
    shift = dead.requantize.shift.copy()
    shift[1] -= 1
    changed = replace(dead, requantize=replace(dead.requantize, shift=shift))
    rewrite(path, lambda program: replace(program, ops=(changed, *program.ops[1:])))
    report = check_alignment(graph, path, [images(1, *SIZE)], modes=["eval"])
    assert (report.differing, report.stale, report.passed) == (0, ("backbone_stem",), False)


def test_a_train_mode_of_its_own_is_found(graph: FakeQuantGraph, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    honest = AddSite.forward_integer
    monkeypatch.setattr(AddSite, "forward_integer", lambda site, a, b: honest(site, a, b) + float(site.training))
    report = check_alignment(graph, path, [images(1, *SIZE)])
    assert (report.differing, report.stale, report.passed) == (0, (), False)
    assert report.first_difference.name == "backbone_blocks_0_add"
    assert report.first_difference.mode_differing == report.first_difference.elements
    assert report.first_difference.mode_max_lsb == 1
    row = next(line.split() for line in report.table().splitlines() if line.startswith("backbone_blocks_0_add "))
    assert row[2:8] == ["int8", "3,744", "0", "0", "3,744", "1"]
    assert f"{report.mode_differing:,} integers differ between the modes of the graph." in report.summary()
    assert str(report.layers[1]).endswith(": 0 of 3,744 integers differ")
    assert str(report.first_difference).endswith(
        ": 0 of 3,744 integers differ, 3,744 between the modes of the graph, by up to 1"
    )


def test_the_table_is_worst_first_and_says_what_it_hides(graph: FakeQuantGraph, path: Path) -> None:
    rewrite(path, negate_a_filter)
    report = check_alignment(graph, path, [images(1, *SIZE)], modes=["eval"])
    assert report.table(2).endswith("… and 53 more, differing ones among them")
    rows = len([layer for layer in report.layers if not layer.passed])
    assert report.table(rows).endswith(f"… and {55 - rows} more, all equal")
    assert len(report.table().splitlines()) == 56


def test_a_recording_holds_nhwc_integers_of_every_site(graph: FakeQuantGraph) -> None:
    img = images(2, *SIZE)
    values = record(graph, img)
    assert list(values) == list(graph.sites)
    assert values["quant"].dtype == np.int32
    np.testing.assert_array_equal(values["quant"], (img * 128).permute(0, 2, 3, 1).numpy())


def test_what_is_no_integer_is_refused(graph: FakeQuantGraph, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(AddSite, "forward_integer", lambda site, a, b: a + 0.5)
    with pytest.raises(
        QuantizationError, match=r"backbone.blocks.0.add \(tests/.*\) gives [\d.]+5, which is no 32-bit"
    ):
        record(graph, images(1, *SIZE))


def test_modes_and_images_are_checked(graph: FakeQuantGraph, path: Path) -> None:
    with pytest.raises(QuantizationError, match=r"modes is \('test',\); expected one or more of eval, train\."):
        check_alignment(graph, path, [], modes=("test",))
    with pytest.raises(QuantizationError, match=r"The alignment check got no image; give it at least one\."):
        check_alignment(graph, path, [])


def test_a_failure_of_the_fresh_process_is_told(graph: FakeQuantGraph, path: Path) -> None:
    with pytest.raises(
        ProgramError, match=r"The replay of .*proof.hbir failed: ProgramError: proof: input 'img' has sha"
    ):
        check_alignment(graph, path, [images(1, 40, 52)], modes=["eval"])


def test_a_witness_that_knows_torch_is_none(
    graph: FakeQuantGraph, path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = "import sys, types\nsys.modules['torch'] = types.ModuleType('torch')\n"
    (tmp_path / "sitecustomize.py").write_text(source, encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(ProgramError, match=r"is no independent witness: it imported torch\. Look for a sitecustomize"):
        check_alignment(graph, path, [images(1, *SIZE)], modes=["eval"])


def test_stale_layers_compares_settings_too(graph: FakeQuantGraph, path: Path) -> None:
    program = load(path)
    assert alignment.stale_layers(graph, program) == ()
    pool = next(op for op in program.ops if op.kind == "max_pool2d")
    ops = tuple(replace(op, padding=(0, 0)) if op is pool else op for op in program.ops)
    assert alignment.stale_layers(graph, replace(program, ops=ops)) == (pool.name,)


def test_saturation_is_counted_per_operator_on_real_images(graph: FakeQuantGraph, path: Path) -> None:
    batches = [images(1, *SIZE, seed=3), images(1, *SIZE, seed=4, full_scale=True)]
    report = check_alignment(graph, path, batches, modes=["eval"])
    recorded = [record(graph, batch) for batch in batches]
    program = load(path)
    limits = limits_of(program)
    for layer in report.layers:
        site = graph.sites[layer.name]
        integers = np.concatenate([values[layer.name].ravel() for values in recorded])
        ends = [site.quant_max, *([site.quant_min] if site.quant_min < 0 else [])]
        expected = int(np.isin(integers, ends).sum()) if layer.name in limits else None
        assert layer.saturated == expected
    assert report.layers[0].saturation == report.layers[0].saturated / report.layers[0].elements > 0.4, "full scale"
    pool = next(layer for layer in report.layers if layer.kind == "max_pool2d")
    assert pool.saturated is None and pool.saturation is None, "it only selects"
    worst = max(report.layers, key=lambda layer: layer.saturation or 0.0)
    assert report.most_saturated == worst
    place = f"{worst.kind} {worst.name!r} ({worst.module} {worst.line})"
    share = f"{worst.saturation:.3%}"
    assert report.saturation_summary() == (
        f"{place} saturates most: {share} of its integers stand at the limits of their range, the 0 of a ReLU left out."
    )
    assert report.table(1).splitlines()[1].split()[0] == worst.name, "where all are equal, what saturates comes first"
    assert share in report.table(1).splitlines()[1]
    layers = json.loads(json.dumps(report.to_dict()))["layers"]
    assert [layer["saturated"] for layer in layers] == [layer.saturated for layer in report.layers]


def test_nothing_saturates(graph: FakeQuantGraph, path: Path) -> None:
    report = check_alignment(graph, path, [torch.zeros(1, 3, *SIZE)], modes=["eval"])
    quiet = replace(report, layers=report.layers[:1])
    assert quiet.layers[0].saturated == 0 and quiet.most_saturated is None
    assert quiet.saturation_summary() == "No integer stands at the limits of its range."
