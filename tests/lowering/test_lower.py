"""The fake-quant forward and the lowered program give the same integers, value by value, at 0 LSB."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import SIGNED_MARCHES, ProofNetwork, images
from operator_networks import march_of
from torch import nn

from hatlite.errors import QuantizationError
from hatlite.executor import Executor, dequantize_outputs
from hatlite.lowering import lower
from hatlite.lowering.lower import LOWERING_RULES
from hatlite.march import get_march
from hatlite.nn import DeQuantStub, QuantStub
from hatlite.program import save
from hatlite.quantization import FakeQuantGraph, QConfig, prepare
from hatlite.quantization.sites import AddSite

MARCH = get_march("bayes-sim")
SIZE = (36, 52)  # levels of 18×26, 9×13, 5×7, 3×4 and 2×2: odd sizes on the way


def calibrated(seed: int = 0, qconfig: QConfig | None = None, size: tuple[int, int] = SIZE) -> FakeQuantGraph:
    graph = prepare(ProofNetwork(seed), qconfig or QConfig(), images(1, *size))
    with torch.no_grad():
        graph(images(2, *size, seed=seed))
    graph.finish_calibration()
    return graph


def as_input(img: torch.Tensor) -> np.ndarray:
    return (img * 128).permute(0, 2, 3, 1).contiguous().numpy().astype(np.int8)


def differing(graph: FakeQuantGraph, img: torch.Tensor, engine: str = "reference") -> int:
    with torch.no_grad():
        expected = graph.integers(img)
    got = Executor(lower(graph, march_of(graph)), engine).run({"img": as_input(img)}, keep="all")
    assert set(got) == set(expected)
    return sum(int((got[name] != q.permute(0, 2, 3, 1).numpy()).sum()) for name, q in expected.items())


@pytest.mark.parametrize("march", SIGNED_MARCHES)
@pytest.mark.parametrize("engine", ["reference", "float32"])
@pytest.mark.parametrize("dtype", ["int8", "int16"])
@pytest.mark.parametrize("full_scale", [False, True])
def test_every_value_is_equal(march: str, engine: str, dtype: str, full_scale: bool) -> None:
    graph = calibrated(qconfig=QConfig(activation=dict(dtype=dtype), march=march))
    assert differing(graph, images(3, *SIZE, seed=9, full_scale=full_scale), engine) == 0


@settings(max_examples=12)
@given(
    st.integers(0, 10**6),
    st.sampled_from(["min_max", "percentile", "mse"]),
    st.integers(1, 3),
    st.sampled_from(SIGNED_MARCHES),
)
def test_every_value_is_equal_for_drawn_networks(seed: int, observer: str, batch: int, march: str) -> None:
    graph = calibrated(seed, QConfig(activation=dict(observer=observer), march=march))
    assert differing(graph, images(batch, *SIZE, seed=seed + 1, full_scale=seed % 2 == 0)) == 0


@pytest.mark.parametrize("march", SIGNED_MARCHES)
def test_train_mode_computes_the_same_bits_as_eval_mode(march: str) -> None:
    graph, img = calibrated(qconfig=QConfig(march=march)), images(3, *SIZE, seed=4)
    in_eval, in_train = graph.eval().integers(img), graph.train().integers(img)
    assert all(torch.equal(in_eval[name], in_train[name]) for name in in_eval)


@pytest.mark.parametrize("march", SIGNED_MARCHES)
def test_training_steps_and_refresh_keep_equality(march: str) -> None:
    graph, img = calibrated(qconfig=QConfig(march=march)), images(2, *SIZE, seed=5)
    optimizer = torch.optim.SGD(graph.parameters(), lr=1e-3)
    before = graph.integers(img)["head_tower"].clone()
    for _ in range(2):
        sum(out.square().mean() for out in graph.train()(img).values()).backward()
        torch.nn.utils.clip_grad_norm_(graph.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
    assert differing(graph, img) == 0  # scales of before, weights of now
    graph.refresh()
    assert differing(graph, img) == 0
    assert not torch.equal(before, graph.integers(img)["head_tower"])


def test_both_sides_dequantise_to_the_same_floats() -> None:
    graph, img = calibrated(), images(2, *SIZE, seed=6)
    program = lower(graph, MARCH)
    got = dequantize_outputs(program, Executor(program, "reference").run({"img": as_input(img)}))
    with torch.no_grad():
        expected = graph(img)
    assert {port.name: port.dtype for port in program.outputs}["box_s4"] == "int32"
    for name, real in expected.items():
        np.testing.assert_array_equal(got[name], real.numpy())


RUN_ALONE = """
import sys
import numpy as np
from hatlite.executor import Executor
from hatlite.program import load
arrays = np.load(sys.argv[2])
got = Executor(load(sys.argv[1]), "reference").run({"img": arrays["img"]}, keep="all")
different = sum(int((got[name] != arrays["value:" + name]).sum()) for name in got)
banned = [name for name in sys.modules if name.startswith(("torch", "hatlite.models", "hatlite.quantization"))]
print(different, len(got), banned)
"""


def test_a_fresh_process_without_torch_reads_the_file_and_agrees(tmp_path: Path) -> None:
    graph, img = calibrated(), images(3, *SIZE, seed=7)
    program = lower(graph, MARCH, name="proof")
    save(program, tmp_path / "proof.hbir")
    with torch.no_grad():
        values = {f"value:{name}": q.permute(0, 2, 3, 1).numpy() for name, q in graph.integers(img).items()}
    np.savez(tmp_path / "values.npz", img=as_input(img), **values)
    command = [sys.executable, "-c", RUN_ALONE, str(tmp_path / "proof.hbir"), str(tmp_path / "values.npz")]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert result.stdout.split(maxsplit=2) == ["0", str(len(values)), "[]\n"]


def test_outputs_carry_their_stride() -> None:
    program = lower(calibrated(size=(64, 64)), MARCH)
    assert {port.name: port.stride for port in program.outputs} == {
        f"{kind}_s{stride}": stride for stride in (2, 4, 8, 16, 32) for kind in ("cls", "box", "centerness")
    }


def test_operators_know_where_they_come_from() -> None:
    stem = lower(calibrated(), MARCH).ops[0]
    assert stem.source.module == "backbone.stem"
    assert stem.source.line.startswith("tests/networks.py:")


def test_before_calibration_nothing_is_lowered() -> None:
    graph = prepare(ProofNetwork(), QConfig(), images(1, *SIZE))
    with pytest.raises(QuantizationError, match=r"backbone.stem \(tests/networks.py:\d+\) has no scale yet: run"):
        lower(graph, MARCH)


def test_a_graph_of_another_arithmetic_is_refused() -> None:
    text = (
        r"prepared for another arithmetic \(shift_only\) than that of the march 'bayes-sim' \(multiplier_shift\);"
        r" prepare and calibrate it with QConfig\(march='bayes-sim'\)"
    )
    with pytest.raises(QuantizationError, match=text):
        lower(calibrated(qconfig=QConfig(march="tidl")), MARCH)
    depthwise = calibrated(qconfig=QConfig(march="tidl", weight_scales="depthwise"))
    assert len(lower(depthwise, get_march("tidl")).ops) > 40


def test_a_site_without_a_rule_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(LOWERING_RULES, AddSite)
    with pytest.raises(QuantizationError, match=r"backbone.blocks.0.add \(.*\): AddSite has no lowering rule, only"):
        lower(calibrated(), MARCH)


class Perceptron(nn.Module):
    """Linear layers on rows of numbers, (N, 6)."""

    def __init__(self) -> None:
        super().__init__()
        self.quant, self.dequant, self.dequant_raw = QuantStub(1 / 128), DeQuantStub(), DeQuantStub("int32")
        self.hidden, self.relu, self.out, self.raw = nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3), nn.Linear(8, 2)

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        x = self.relu(self.hidden(self.quant(x)))
        return {"out": self.dequant(self.out(x)), "raw": self.dequant_raw(self.raw(x))}


@pytest.mark.parametrize("engine", ["reference", "float32"])
def test_linear_layers_are_equal(engine: str) -> None:
    rows = torch.randint(-128, 128, (64, 6), generator=torch.Generator().manual_seed(0)) / 128
    torch.manual_seed(0)
    graph = prepare(Perceptron(), QConfig(), rows[:1])
    with torch.no_grad():
        graph(rows)
        graph.finish_calibration()
        expected = graph.integers(rows)
    integers = (rows * 128).numpy().astype(np.int8)[:, None, None, :]
    got = Executor(lower(graph, MARCH), engine).run({"img": integers}, keep="all")
    assert all(np.array_equal(got[name][:, 0, 0], q.numpy()) for name, q in expected.items())
    assert set(got) == set(expected)
