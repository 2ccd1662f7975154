"""Switches of the configs of GNetDet, in networks of their depth that are narrow."""

import inspect
from pathlib import Path

import numpy as np
import pytest
import torch

from hatlite import config
from hatlite.chip import limit_problems
from hatlite.chip.majors import layers_of, majors_of
from hatlite.engine.converters import lower_detector
from hatlite.engine.parts import build_model, qconfig_of, quantize_random, random_image
from hatlite.engine.run import Run
from hatlite.errors import ConfigError
from hatlite.executor import Executor
from hatlite.models import GNetDetLoss, GNetHead

FOLDER = Path(__file__).parents[1] / "configs/detection/gnetdet"
NAMES = ("448_voc", "224_voc", "bccd", "shapes")
WIDTHS = {
    448: "[[4],[4],[8,8],[8,8,8],[8,8,8],[32,32,32,32,32]]",
    224: "[[4,4],[8,8],[8,8,8],[8,8,8],[32,32,32,32,32]]",
}


def narrow(size: int, *opts: str) -> tuple[Run, torch.nn.Module]:
    """Return the run and its detector, quantised."""
    opts = (f"model.backbone.widths={WIDTHS[size]}", *opts)
    run = Run(config.load(FOLDER / f"gnetdet_{size}_voc.py", opts))
    run.classes = tuple(run.config["classes"])
    torch.manual_seed(0)
    model = build_model(run)
    quantize_random(run, model)
    return run, model


@pytest.mark.parametrize(
    ("size", "bits", "majors"),
    [
        (448, 5, [1, 1, 2, 3, 3, 3, 3]),
        (448, 10, [1, 1, 2, 3, 3, 5, 1]),
        (224, 5, [2, 2, 3, 3, 3, 3]),
        (224, 10, [2, 2, 3, 3, 3, 2, 1]),
    ],
)
def test_bits_of_the_output_fit_the_chip_and_integers_are_equal(size, bits, majors):
    run, model = narrow(size, f"output_bits={bits}")
    graph, image = model.network, random_image(model.network, (1, 3, size, size))
    with torch.no_grad():
        expected = graph.integers(image)
    program = lower_detector(run, model)
    got = Executor(program, "reference").run({"img": image.permute(0, 2, 3, 1).contiguous().numpy().astype(np.uint8)})
    (name,) = got
    assert np.array_equal(got[name], expected[program.outputs[0].value].permute(0, 2, 3, 1).numpy())
    assert (31 < got[name].max() < 1024) == (bits == 10)
    assert limit_problems(program) == []
    assert [len(major.layers) for major in majors_of(layers_of(program))] == majors


def test_ten_bits_at_448_behind_layers_of_8_bits_are_refused_by_the_chip():
    run, model = narrow(448, "output_bits=10", "qconfig.rules={'*conv1[345]':{'weight_dtype':'int8'}}")
    (problem,) = limit_problems(lower_detector(run, model))
    assert "10-bit output must stand alone in the last major layer, and the layers before it fill all 7" in problem


def test_other_bits_of_the_output_are_refused():
    with pytest.raises(ConfigError, match=r"gnetdet_448_voc.py:\d+: ValueError: output_bits is 7; expected 5 or 10"):
        config.load(FOLDER / "gnetdet_448_voc.py", ["output_bits=7"])


@pytest.mark.parametrize("name", NAMES)
def test_switches_of_quantisation_arrive(name, monkeypatch):
    monkeypatch.chdir(FOLDER.parents[2])
    opts = ["learn_caps=True", "shift_hysteresis=True", "kernel_step=mse", "output_gains=shared", "output_bits=10"]
    run = Run(config.load(FOLDER / f"gnetdet_{name}.py", opts))
    qconfig = qconfig_of(run)
    assert qconfig.of("conv0").learn and qconfig.output_gains == "shared"
    assert (qconfig.weight_rule.step, qconfig.weight_rule.shift_hysteresis) == ("mse", True)
    assert run.config["model"]["head"]["int16_output"]
    coded = [index for index in range(16) if qconfig.arithmetic_of(f"conv{index}").weight_dtypes[0] == "kernel3"]
    assert coded == list(range(15 if name == "448_voc" else 13))


def test_what_differs_from_the_published_loss_is_said():
    text = (FOLDER / "gnetdet_448_voc.py").read_text(encoding="utf-8").split('"""')[1]
    loss, head = (inspect.signature(kind).parameters for kind in (GNetDetLoss, GNetHead))
    for default, said in (
        (loss["detach_iou"].default is True, "model.loss.detach_iou=False"),
        (loss["least_root"].default == 0.1, "model.loss.least_root=1e-4"),
        (head["raise_zeros"].default is True, "model.head.raise_zeros=False"),
    ):
        assert default == (said in " ".join(text.split()))
