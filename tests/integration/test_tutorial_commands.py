"""HAT's FCOS tutorial, command by command and in its order, on drawn shapes and a network made small.

The commands of its two generations stand here as the tutorial prints them, but for the config, the folders and what
``--opts`` makes small. Those that only read run two at a time.
"""

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from hatlite.data.image import read_image
from hatlite.data.shapes_file import write_shapes
from hatlite.program import load

ROOT = Path(__file__).parents[2]
CONFIG = "configs/detection/fcos/fcos_efficientnetb0_shapes.py"
TASK = Path(CONFIG).stem
SIDE = 128
STAGES = ("float", "calibration", "qat", "int_infer")
SMALL = (
    "num_epochs=1",
    "qat_epochs=1",
    "batch_size=4",
    "num_workers=0",
    "stage_checkpoint=best",
    "model.backbone.width_coefficient=0.25",
    "model.backbone.depth_coefficient=0.1",
    "model.neck.out_channels=16",
    "model.neck.stack=1",
    "model.head.stacked_convs=1",
    "model.head.feat_channels=16",
    "model.head.stride2channels=None",
    "calibration_trainer.num_steps=1",
)


class Terminal:
    """Types commands in the project's folder; everything they make lies below `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.run = folder, folder / "run"
        self.opts = ["--opts", *SMALL, f"data_path={folder}", f"ckpt_dir={self.run}"]
        self.env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}

    def type(self, command: str) -> str:
        """Run `command`, in which words in capitals stand for what they say; return what it printed."""
        image = self.folder / "val2017" / "000000000001.jpg"
        names = {"CONFIG": CONFIG, "RUN": str(self.run), "TMP": str(self.folder), "IMAGE": str(image)}
        for name, value in names.items():
            command = command.replace(name, value)
        words = [sys.executable, *command.split()[1:], *(self.opts if CONFIG in command else ())]
        done = subprocess.run(words, capture_output=True, text=True, check=False, env=self.env, cwd=ROOT)
        assert done.returncode == 0, f"{command}\n{done.stderr}"
        return done.stdout

    def type_all(self, commands: dict[str, str]) -> dict[str, str]:
        """Run commands that only read, two at a time; return what each, by its name, printed."""
        with ThreadPoolExecutor(2) as pool:
            return dict(zip(commands, pool.map(self.type, commands.values()), strict=True))

    def metrics(self, stage: str) -> dict[str, float]:
        """Return the row of `stage` in the run's table."""
        return json.loads((self.run / "stages.json").read_text(encoding="utf-8"))["stages"][stage]


@pytest.fixture
def terminal(tmp_path: Path) -> Terminal:
    for split, count in (("train", 4), ("val", 2)):
        write_shapes(tmp_path, split, num_images=count, seed=count, size=(SIDE, SIDE))
    return Terminal(tmp_path)


def test_every_command_of_the_tutorial(terminal: Terminal) -> None:
    prepare(terminal)
    train(terminal)
    both_exporters_write_the_same_bytes(terminal)
    printed = terminal.type_all({**NEWER, **OLDER})
    predictions_agree_with_training(terminal, printed)
    pictures_are_drawn(terminal)
    the_board_starts_from_int_infer(terminal, printed)
    speed_is_estimated(terminal, printed)


PACK = "python3 tools/datasets/mscoco_packer.py --src-data-dir TMP --target-data-dir TMP --pack-type lmdb"
NEWER = {
    "float": "python3 tools/predict.py --stage float --config CONFIG",
    "calibration": "python3 tools/predict.py --stage calibration --config CONFIG",
    "int_infer": "python3 tools/predict.py --stage int_infer --config CONFIG",
    "infer": "python3 tools/infer_hbir.py --config CONFIG --model-inputs img:IMAGE --save-path TMP/newer.png",
    "board": "python3 tools/validation_hbir.py --stage align_bpu --config CONFIG",
    "checker": "python3 tools/model_checker.py --config CONFIG",
    "perf": "python3 tools/compile_perf_hbir.py --config CONFIG --out-dir TMP/newer",
}
OLDER = {
    "float by name": "python3 tools/predict.py --stage float --config CONFIG --ckpt RUN/float-checkpoint-best.pth.tar",
    "qat by name": "python3 tools/predict.py --stage qat --config CONFIG --ckpt RUN/qat-checkpoint-best.pth.tar",
    "hbir by name": f"python3 tools/predict.py --stage int_infer CONFIG --ckpt RUN/{TASK}.hbir",
    "lowered": "python3 tools/predict.py --stage int_infer CONFIG --ckpt RUN/qat-checkpoint-best.pth.tar",
    "old board": "python3 tools/align_bpu_validation.py --config CONFIG",
    "old infer": "python3 tools/infer.py --config CONFIG --model-inputs imgs:IMAGE --save-path TMP/older.png",
    "old perf": "python3 tools/compile_perf.py --config CONFIG --out-dir TMP/older --opt 3",
}


def prepare(terminal: Terminal) -> None:
    terminal.type_all({split: f"{PACK} --split-name {split}" for split in ("train", "val")})
    assert (terminal.folder / "train_lmdb" / "data.mdb").is_file()
    assert (terminal.folder / "val_lmdb" / "data.mdb").is_file()
    counted = terminal.type("python3 tools/calops.py --config CONFIG --input-shape 1,3,1024,1024")
    assert "backbone" in counted and "GMACs" in counted and "head" in counted


def train(terminal: Terminal) -> None:
    for stage in STAGES[:3]:
        assert f"| {stage} " in terminal.type(f"python3 tools/train.py --stage {stage} --config CONFIG")
        for which in ("best", "last"):
            assert (terminal.run / f"{stage}-checkpoint-{which}.pth.tar").is_file()


def both_exporters_write_the_same_bytes(terminal: Terminal) -> None:
    hbir = terminal.run / f"{TASK}.hbir"
    assert f"Written: {hbir}" in terminal.type("python3 tools/export_hbir.py --config CONFIG")
    exported = hbir.read_bytes()
    hbir.unlink()
    assert "| int_infer " in terminal.type("python3 tools/train.py --stage int_infer --config CONFIG")
    assert hbir.read_bytes() == exported
    assert terminal.metrics("int_infer")["passed"] is True  # equal to qat, digit for digit


def predictions_agree_with_training(terminal: Terminal, printed: dict[str, str]) -> None:
    rows = {stage: f"{terminal.metrics(stage)['mAP']:.6g}" for stage in STAGES}
    losses = {stage: f"{terminal.metrics(stage)['val_loss']:.6g}" for stage in STAGES}
    of = {"float by name": "float", "qat by name": "qat", "hbir by name": "int_infer", "lowered": "int_infer"}
    for name, stage in {**{stage: stage for stage in ("float", "calibration", "int_infer")}, **of}.items():
        said = dict(line.rsplit(maxsplit=1) for line in printed[name].splitlines())
        assert (said["mAP"], said["val_loss"]) == (rows[stage], losses[stage]), name
    assert losses["int_infer"] != losses["float"]  # else nothing was quantised


def pictures_are_drawn(terminal: Terminal) -> None:
    newer, older = (read_image(terminal.folder / f"{name}.png") for name in ("newer", "older"))
    assert newer.shape == (5 * SIDE, 5 * SIDE, 3)  # enlarged by the smallest whole factor that reaches 640
    assert (newer == older).all()
    drawn = terminal.type(
        "python3 tools/infer_hbir.py --config CONFIG --use-dataset 0 --save-path TMP/all.png --score-threshold 0"
    )
    boxes = [line.split() for line in drawn.splitlines()[2:]]
    assert boxes and all(len(box) == 6 for box in boxes)  # class, score and four edges
    assert (read_image(terminal.folder / "all.png") != newer).any()


def the_board_starts_from_int_infer(terminal: Terminal, printed: dict[str, str]) -> None:
    assert printed["board"] == printed["old board"]
    assert f"| int_infer | {terminal.metrics('int_infer')['mAP']:.4f} | " in printed["board"]
    assert "| NV12 of the network | " in printed["board"]
    assert printed["checker"].startswith(f"All operators run on bayes-sim at 1×3×{SIDE}×{SIDE}: ")


def speed_is_estimated(terminal: Terminal, printed: dict[str, str]) -> None:
    newer, older = (json.loads((terminal.folder / name / "perf.json").read_text()) for name in ("newer", "older"))
    assert newer["latency_ms"] == older["latency_ms"] > 0
    assert len(newer["layers"]) == len(load(terminal.run / f"{TASK}.hbir").ops)
    assert older["opt"] == 3 and "come with a later compiler." in printed["old perf"]
