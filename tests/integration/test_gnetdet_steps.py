"""GNetDet's whole procedure at toy size, in its user's words: drawn pictures, four steps, chip model, found objects."""

import io
import json
import logging
import math
import runpy
import shutil
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from hatlite.chip import read_chip_model
from hatlite.command import run_tool
from hatlite.data.image import read_image
from hatlite.engine import Run
from hatlite.engine.alignment import validation_images
from hatlite.engine.checkpoint import deployed_weights, load_checkpoint, save_checkpoint
from hatlite.engine.executor_network import ExecutorNetwork
from hatlite.engine.kinds import restore
from hatlite.engine.parts import build_model

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / "configs" / "detection" / "gnetdet" / "gnetdet_shapes.py"
SMALL = (
    "widths=[[4,4],[4,4],[4,4,4],[4,4,4],[8,8,8,8,8]]",  # all 16 convolutions, at the least size that the chip takes
    "num_workers=0",
    "calibration_trainer.num_steps=2",
)
STEPS = (
    "--step 1 learning-rate 1e-3 num-epochs=1",
    "--step 2 checkpoint-path checkpoint/step1/best.pth num-epochs 1",
    "--step 2 --cal checkpoint-path checkpoint/step2/best.pth",
    "--step 3 checkpoint-path checkpoint/step2/best.pth num-epochs 1",
    "--step 4 checkpoint-path checkpoint/step3/best.pth num-epochs 1",
)
STAGES = ("float", "qat", "calibration", "qat_activations", "qat_31", "int_infer")
CONVS = [f"backbone_conv{index}" for index in range(15)] + ["head_conv15"]


class Toolkit:
    """Types command lines; everything that they make lies below `folder`."""

    def __init__(self, folder: Path, run: Path | None = None) -> None:
        self.folder = folder
        self.run = run or folder / "run"
        self.opts = [f"data_path={folder}", f"ckpt_dir={self.run}", *SMALL]

    def type(self, line: str, *, code: int = 0) -> str:
        """Call the tool that `line` begins with, TMP being the folder; return what it said. It ends with `code`."""
        name, *words = line.replace("TMP", str(self.folder)).split()
        if "make_shapes" not in name and "GNetDet" not in name:
            words += ["--config", str(CONFIG), "--opts", *self.opts]
        tool, said = runpy.run_path(str(ROOT / "tools" / name)), io.StringIO()
        with redirect_stdout(said), redirect_stderr(said):
            ended = run_tool(lambda: tool["main"](tool["parser"]().parse_args(words)))
        assert ended == code, said.getvalue()
        return said.getvalue()

    def state(self, stage: str, which: str = "best") -> dict[str, torch.Tensor]:
        return self.checkpoint(stage, which)["state_dict"]

    def checkpoint(self, stage: str, which: str = "best") -> dict:
        return load_checkpoint(self.run / f"{stage}-checkpoint-{which}.pth.tar")


@pytest.fixture(scope="module", autouse=True)
def logger_as_it_was() -> Iterator[None]:
    root = logging.getLogger("hatlite")
    handlers, level, propagate = root.handlers[:], root.level, root.propagate
    yield
    root.handlers[:], root.propagate = handlers, propagate
    root.setLevel(level)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Toolkit:
    """A folder in which all steps were run, down to the chip model."""
    toolkit = Toolkit(tmp_path_factory.mktemp("gnetdet"))
    for split, count in (("train", 8), ("val", 3)):
        toolkit.type(
            f"make_shapes.py --layout voc --out TMP/shapes --split {split} --num-images {count} --seed {count}"
            " --image-size 224x224 --num-workers 0"
        )
    toolkit.type("voc_to_meta.py --split-by-name")
    for step in STEPS:
        assert f"Step {'2 --cal' if '--cal' in step else step[7]} is: " in toolkit.type(f"train-dist.py {step}")
    toolkit.type("train.py --stage int_infer")
    toolkit.type("convert_to_chip.py")
    return toolkit


@pytest.fixture
def again(done: Toolkit, tmp_path: Path) -> Toolkit:
    """A copy of the run that a test may go on with."""
    shutil.copytree(done.run, tmp_path / "run")
    return Toolkit(done.folder, tmp_path / "run")


def test_each_step_leaves_its_row(done: Toolkit) -> None:
    rows = json.loads((done.run / "stages.json").read_text())["stages"]
    assert tuple(rows) == STAGES
    assert [row["images"] for row in rows.values()] == [3] * 6
    assert rows["int_infer"]["passed"] is True  # equal to qat_31, digit for digit
    learned = [done.state(name)["network.backbone.conv0.weight"] for name in ("float", "qat", "qat_activations")]
    assert not any(torch.equal(before, after) for before, after in pairwise(learned))


def test_the_gain_edit_is_recorded_once_with_the_caps_that_it_folded_in(done: Toolkit) -> None:
    before, after = done.state("qat_activations"), done.state("qat_31")
    caps = [float(after[f"network.sites.{name}.cap"]) for name in CONVS]
    assert caps == [31 * float(before[f"network.sites.{name}.scale"]) for name in CONVS]
    assert all(math.isnan(before[f"network.sites.{name}.cap"]) for name in CONVS)
    assert all(float(after[f"network.sites.{name}.scale"]) == 1 for name in CONVS)
    assert read_chip_model(done.run / "model" / "out.model").metadata["caps"] == caps
    lines = (done.run / "model" / "relu_cap.txt").read_text().splitlines()
    assert [float(line) for line in lines] == caps


def test_the_chip_model_computes_the_forward_of_step_4_bit_for_bit(done: Toolkit) -> None:
    run = Run.load(str(CONFIG), done.opts)
    model = build_model(run, run.stage("qat_31"))
    restore(run, "qat_31", model)
    chip = ExecutorNetwork(read_chip_model(done.run / "model" / "out.model"))
    images = [*validation_images(run, 3), torch.randint(0, 32, (2, 3, 224, 224)).float()]
    with torch.no_grad():
        for img in images:
            (ours,), (theirs,) = (network(img).values() for network in (model.network.eval(), chip))
            assert torch.equal(ours, theirs) and ours.unique().numel() > 2


def test_it_draws_what_it_finds(done: Toolkit) -> None:
    line = "GNetDet.py image -m TMP/run/model/out.model --conf-thresh 0 --prob-thresh 0"
    said = done.type(f"{line} -i TMP/shapes/JPEGImages -o TMP/pictures")
    names = sorted(path.name for path in (done.folder / "shapes" / "JPEGImages").iterdir())
    assert sorted(path.name for path in (done.folder / "pictures").iterdir()) == [f"out_{name}" for name in names]
    assert "images/s" in said
    picture = done.folder / "shapes" / "JPEGImages" / names[0]
    said = done.type(f"{line} -i {picture} -o TMP/one.png")
    drawn = read_image(done.folder / "one.png")
    empty = "\n  nothing\n" in said
    assert empty == np.array_equal(drawn, read_image(picture)), said


def test_step_4_begins_anew_from_step_3_and_goes_on_with_resume(again: Toolkit) -> None:
    first = again.state("qat_31", "last")
    again.type(f"train-dist.py {STEPS[4]}")  # from step 3 once more: one edit, the same weights
    anew = again.state("qat_31", "last")
    for name, value in first.items():
        torch.testing.assert_close(anew[name], value, rtol=0, atol=0, equal_nan=True)
    again.type("train-dist.py --step 4 --resume num-epochs 2")
    longer = again.checkpoint("qat_31", "last")
    assert longer["epoch"] == 2
    for name in CONVS:  # what step 3 had, and no second edit
        assert torch.equal(longer["state_dict"][f"network.sites.{name}.cap"], first[f"network.sites.{name}.cap"])


def test_what_is_refused_names_the_command_that_helps(again: Toolkit) -> None:
    said = again.type("train-dist.py --step 4 checkpoint-path checkpoint/step4/best.pth edit-gain True", code=2)
    assert "edit-gain asks for a second gain edit: the gains of " in said and "were edited before" in said
    other = again.checkpoint("qat")
    deployed_weights(other)["network.backbone.conv0.bias"] += 0.25
    save_checkpoint(other, again.run / "other.pth.tar")
    said = again.type(f"train-dist.py --step 3 checkpoint-path {again.run / 'other.pth.tar'}", code=2)
    assert "StageError: checkpoint-path " in said and "other.pth.tar" in said
    assert "--step 2 --cal" in said and "checkpoint-path" in said.partition("--step 2 --cal")[2]
    (again.run / "calibration-checkpoint-best.pth.tar").unlink()
    said = again.type("train-dist.py --step 3", code=2)
    assert "StageError: " in said and "Run this first: python tools/train.py --stage calibration" in said


def test_a_checkpoint_is_evaluated_as_pascal_voc_does(done: Toolkit) -> None:
    said = done.type("eval_voc.py -s 4 -p checkpoint/step4/best.pth")
    found = {words[0]: words[-1] for words in map(str.split, said.splitlines()) if len(words) == 2}
    classes = [float(value) for name, value in found.items() if name.startswith("VOC_AP/")]
    assert len(classes) > 1 and float(found["VOC_mAP"]) == pytest.approx(sum(classes) / len(classes), abs=1e-5)


def test_finetuning_leaves_the_backbone_alone_at_first(again: Toolkit) -> None:
    again.type("train-dist.py --step 3 --finetune 1 num-epochs 1")
    before, after = deployed_weights(again.checkpoint("calibration")), again.state("qat_activations", "last")
    for index in range(15):
        name = f"network.backbone.conv{index}.weight"
        assert torch.equal(before[name], after[name])
    assert not torch.equal(before["network.head.conv15.weight"], after["network.head.conv15.weight"])
