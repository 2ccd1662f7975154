"""The tool from its arguments to the files it writes, on a run that is done."""

import json
import runpy
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from spots import SpotDetector, spot_config, spot_run

from hatlite import config as config_module
from hatlite import engine
from hatlite.command import run_tool
from hatlite.engine import Run
from hatlite.engine.checkpoint import describe, save_checkpoint
from hatlite.engine.converters import lower_detector
from hatlite.engine.parts import quantize_random
from hatlite.executor import Executor
from hatlite.models.postprocess.anchor_decoder import AnchorDecoder
from hatlite.program import load, save
from hatlite.registry import OBJECT_REGISTRY

TOOL = runpy.run_path(str(Path(__file__).parents[2] / "tools" / "export_onnx.py"))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return spot_run(tmp_path_factory.mktemp("spots"))


@pytest.fixture
def exporting(monkeypatch):
    """Return ``exporting(run)``, which returns ``export(*arguments) -> exit code`` for the config of `run`."""

    def of(run):
        monkeypatch.setattr(config_module, "load", lambda source, opts: run.config)

        def call(*more):
            arguments = TOOL["parser"]().parse_args(["--config", "spots.py", *map(str, more)])
            return run_tool(lambda: TOOL["main"](arguments))

        return call

    return of


@pytest.fixture
def export(run, exporting):
    return exporting(run)


ANCHORS = {"type": "SSDAnchorGenerator", "input_size": 32, "strides": [8, 16, 32], "ratios": [[2]] * 3}
SSD = {
    "type": "SSD",
    "backbone": {"type": "efficientnet", "widths": [8] * 8, "depth_coefficient": 0.3},
    "neck": {"type": "FPN", "out_strides": [8, 16, 32], "out_channels": 8},
    "head": {"type": "SSDHead", "num_classes": 2, "anchor_generator": ANCHORS, "int16_output": True},
    "post_process": {"type": "SSDDecoder", "test_cfg": {"score_thr": 0.3, "max_per_img": 20}},
}


@pytest.fixture(scope="module")
def ssd_run(tmp_path_factory):
    """A run of the march tidl with random weights: a float checkpoint and a program of other weights."""
    config = spot_config(tmp_path_factory.mktemp("ssd"))
    size = {"type": "Resize", "img_scale": (32, 32), "keep_ratio": False}
    config["val_data_loader"]["dataset"]["transforms"][:2] = [size]
    run = Run({**config, "model": SSD, "march": "tidl"})
    torch.manual_seed(0)
    model = OBJECT_REGISTRY.build(SSD)
    state = {**describe(model, run.info("float")), "state_dict": model.state_dict()}
    save_checkpoint({**state, "metrics": {}, "epoch": 1, "num_epochs": 1}, run.checkpoint("float"))
    quantize_random(run, model)
    save(lower_detector(run, model), run.program())
    return run


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


def test_detection_in_the_float_file_equals_the_detector(exporting, ssd_run, capsys):
    assert exporting(ssd_run)("--float", "--detect", "--verify", 3) == 0
    said = capsys.readouterr().out
    out = ssd_run.folder / "spots-float-detect.onnx"
    assert said.startswith(f"Written: {out}\n") and "and the detector find the same objects in 3 images: " in said
    image = np.random.default_rng(0).standard_normal((2, 3, 32, 32)).astype(np.float32)
    boxes, scores, labels = session(out).run(None, {"img": image})
    assert (boxes.shape, scores.shape, labels.shape) == ((2, 20, 4), (2, 20), (2, 20))
    assert (labels >= 0).any()


@pytest.mark.parametrize(
    ("form", "verdict"), [("golden", "find the same objects in 3 images"), ("clip", "that both find are enough (75%")]
)
def test_detection_behind_integers(exporting, ssd_run, form, verdict, capsys):
    assert exporting(ssd_run)("--form", form, "--detect", "--verify", 3) == 0
    assert verdict in capsys.readouterr().out


@pytest.mark.parametrize("form", ["qdq", "clip"])
def test_both_published_forms_say_what_differs(exporting, ssd_run, form, capsys):
    assert exporting(ssd_run)("--form", form, "--verify", 1, "--real") == 0
    said = capsys.readouterr().out
    assert f"the {form} form promises no" in said or f"where the {form} form promises nothing" in said
    assert (ssd_run.folder / f"spots-{form}.prototxt").read_text(encoding="utf-8").startswith('name: "ssd"')


def test_named_outputs_of_a_detector_without_anchors(export, run, capsys):
    assert export() == 0
    assert "Decoding: on the host; SpotDetector has no post_process that could be told of." in capsys.readouterr().out
    note = json.loads((run.folder / "spots-golden.json").read_text(encoding="utf-8"))
    (output,) = note["outputs"]
    port = load(run.program()).outputs[0]
    expected = {"name": "cls_logits_s4", "stride": 4, "scale": port.scale, "dtype": "int16", "layout": "NCHW"}
    assert output == {**expected, "shape": ["N", 1, 6, 6]}
    assert {key: note[key] for key in ("task", "march", "form", "classes")} == {
        "task": "spots",
        "march": "bayes-sim",
        "form": "golden",
        "classes": ["hole", "spot"],
    }
    pixels = {"order": "RGB", "mean": [128.0], "std": [128.0], "range": [-1.0, 127 / 128]}
    assert {key: note["pixels"][key] for key in pixels} == pixels
    held = {entry.key: entry.value for entry in onnx.load(run.folder / "spots-golden.onnx").metadata_props}
    assert json.loads(held["pixels"]) == note["pixels"]


def test_objects_that_differ_end_with_one(exporting, ssd_run, monkeypatch, capsys):
    monkeypatch.setattr(AnchorDecoder, "place", lambda decoder, boxes, batch, index: boxes + len(boxes))
    assert exporting(ssd_run)("--float", "--detect", "--verify", 1) == 1
    assert "find NOT the same objects" in capsys.readouterr().out


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
        (("--detect", "--verify", "0"), "ConfigError: --verify 0 compares no objects; give the number of images that"),
        (("--form", "clip", "--verify", "0"), "ConfigError: --verify 0 compares no output, by which the form clip is"),
        (
            ("--float", "--form", "clip"),
            "ConfigError: --float exports the network of the float stage, and --form is about an integer program;",
        ),
        (
            ("--float", "--detect", "--form", "golden", "--real", "--program", "a.hbir"),
            "ConfigError: --float exports the network of the float stage, and --form, --real, --program are about an",
        ),
        (
            ("--detect",),
            "ConfigError: --detect puts decoding with anchors into the file, and SpotDetector has none; leave",
        ),
        (
            ("--out", "a.json"),
            "ConfigError: --out is a.json; expected a name that ends in .onnx, beside which .json and",
        ),
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


@pytest.mark.parametrize("named", [False, True])
@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("march", "tidl", "its march is 'bayes-sim' and not 'tidl'"),
        ("task_name", "others", "its task_name is 'spots' and not 'others'"),
        ("num_classes", 3, "its num_classes is 2 and not 3"),
        ("deploy_inputs", {"img": torch.zeros(1, 3, 24, 48)}, "its image size is '24×24' and not '24×48'"),
    ],
)
def test_a_program_of_another_config_is_not_exported(
    export, run, monkeypatch, tmp_path, capsys, key, value, said, named
):
    path = run.program()
    monkeypatch.setitem(run.config, key, value)
    monkeypatch.setattr(Run, "program", lambda self: path)  # its name is the task's
    program = ("--program", path) if named else ()
    assert export("--out", tmp_path / "a.onnx", *program) == 2
    assert f"ProgramError: {path} belongs to another config: {said}.\n" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_program_of_another_size_than_the_model(exporting, ssd_run, monkeypatch, tmp_path, capsys):
    larger = {**SSD, "head": {**SSD["head"], "anchor_generator": {**ANCHORS, "input_size": 64}}}
    for key in ("model", "deploy_model"):
        monkeypatch.setitem(ssd_run.config, key, larger)
    assert exporting(ssd_run)("--detect", "--out", tmp_path / "a.onnx") == 2
    said = (
        "DataError: The program 'spots' is made for images of 32×32 (height×width), and config['model'] is not: SSD:"
        " img is 32×32 (height×width), but the anchors are made for 64×64;"
    )
    assert capsys.readouterr().err.startswith(said) and not list(tmp_path.iterdir())


def test_a_config_without_int_infer(export, run, monkeypatch, capsys):
    monkeypatch.setitem(run.config, "stages", [{"name": "float", "kind": "float"}])
    assert export() == 2
    assert "lists no stage of kind 'int_infer', so there is no program; tools/mod" in capsys.readouterr().err


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
