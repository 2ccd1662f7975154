"""The tool from its arguments to the files it writes, on a run that is done."""

import runpy
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from spots import SpotDetector, spot_run

from hatlite import config as config_module
from hatlite import engine
from hatlite.command import run_tool
from hatlite.executor import Executor
from hatlite.program import load

TOOL = runpy.run_path(str(Path(__file__).parents[2] / "tools" / "export_onnx.py"))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return spot_run(tmp_path_factory.mktemp("spots"))


@pytest.fixture
def export(run, monkeypatch):
    """Return ``export(*arguments) -> exit code`` for the run's config."""
    monkeypatch.setattr(config_module, "load", lambda source, opts: run.config)

    def call(*more):
        arguments = TOOL["parser"]().parse_args(["--config", "spots.py", *map(str, more)])
        return run_tool(lambda: TOOL["main"](arguments))

    return call


def session(path):
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


def test_the_golden_file_is_verified_on_images_and_thresholds(export, run, capsys):
    assert export("--verify", 2) == 0
    out = run.folder / "spots-golden.onnx"
    printed = capsys.readouterr().out
    assert f"Written: {out}" in printed
    assert "cls_logits_s4 " in printed and "default" in printed and "unoptimised" in printed
    assert "and the executor are equal: " in printed
    integers = np.random.default_rng(0).integers(-128, 128, (1, 24, 24, 3)).astype(np.int8)
    (got,) = session(out).run(None, {"img": integers.transpose(0, 3, 1, 2)})
    expected = Executor(load(run.program())).run({"img": integers})["cls_logits_s4"]
    np.testing.assert_array_equal(got.transpose(0, 2, 3, 1), expected)


def test_a_chosen_program_form_and_file(export, run, tmp_path):
    assert export("--form", "qdq", "--real", "--program", run.program(), "--out", tmp_path / "new" / "a.onnx") == 0
    model = onnx.load(tmp_path / "new" / "a.onnx")
    assert {entry.key: entry.value for entry in model.metadata_props}["form"] == "qdq"
    assert model.graph.input[0].type.tensor_type.elem_type == onnx.TensorProto.FLOAT


def test_the_float_network(export, run, tmp_path):
    out = tmp_path / "float.onnx"
    assert export("--float", "--out", out) == 0
    img = torch.randn(3, 3, 24, 24, generator=torch.Generator().manual_seed(0))
    ours = session(out)
    assert [node.name for node in (*ours.get_inputs(), *ours.get_outputs())] == ["img", "cls_logits_s4"]
    with torch.no_grad():
        expected = SpotDetector().network.eval()(img)["cls_logits_s4"].numpy()
    np.testing.assert_allclose(ours.run(None, {"img": img.numpy()})[0], expected, atol=1e-5)


def test_integers_that_differ_end_with_one(export, monkeypatch, tmp_path, capsys):
    write = engine.export_program

    def damaged(run, program, out, form, **more):
        said = write(run, program, out, form, **more)
        model = onnx.load(out)
        node = next(node for node in model.graph.node if node.op_type == "ConvInteger")
        held = next(item for item in model.graph.initializer if item.name == node.input[1])
        held.CopyFrom(onnx.numpy_helper.from_array(-onnx.numpy_helper.to_array(held), held.name))
        onnx.save(model, out)
        return said

    monkeypatch.setattr(engine, "export_program", damaged)
    assert export("--verify", 1, "--out", tmp_path / "a.onnx") == 1
    assert "are NOT equal" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--program", "nowhere.hbir"), "ProgramError: nowhere.hbir: cannot be read (No such file or directory)."),
        (("--float", "--verify", "1"), "ConfigError: --verify compares the integers of a program, which --float does"),
        (("--out", "/dev/null/a.onnx"), "OutputError: /dev/null/a.onnx cannot be written ("),
    ],
)
def test_bad_arguments_are_one_sentence(export, arguments, sentence, capsys):
    assert export(*arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith(sentence) and len(error.splitlines()) == 1


def test_a_run_without_a_program_or_float_checkpoint_says_what_makes_it(export, run, monkeypatch, tmp_path, capsys):
    monkeypatch.setitem(run.config, "ckpt_dir", str(tmp_path / "empty"))
    assert export() == 2
    assert "StageError: There is no program" in capsys.readouterr().err
    assert export("--float") == 2
    assert "float-checkpoint-best.pth.tar" in capsys.readouterr().err


def test_a_config_without_int_infer(export, run, monkeypatch, capsys):
    monkeypatch.setitem(run.config, "stages", [{"name": "float", "kind": "float"}])
    assert export() == 2
    assert "lists no stage of kind 'int_infer', so there is no program." in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [(), ("--float",)])
def test_without_the_extra_it_says_what_to_install(export, arguments, monkeypatch, tmp_path, capsys):
    monkeypatch.setitem(sys.modules, "onnx", None)
    for name in ("onnx_model", "onnx_graph", "golden", "qdq"):
        monkeypatch.delitem(sys.modules, f"hatlite.export.{name}", raising=False)
    assert export("--out", tmp_path / "a.onnx", *arguments) == 2
    assert "which is not installed: pip install hatlite[onnx]" in capsys.readouterr().err
    assert not (tmp_path / "a.onnx").exists()


@pytest.mark.parametrize("number", ["-1", "x"])
def test_the_number_of_images_is_checked(number, capsys):
    with pytest.raises(SystemExit, match=r"^2$"):
        TOOL["parser"]().parse_args(["--config", "c.py", f"--verify={number}"])
    assert f"is {number!r}; expected a whole number from 0 up" in capsys.readouterr().err
