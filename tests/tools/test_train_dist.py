"""The command lines of the toolkit's README, and how the tool answers what it cannot do."""

import json
import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from hatlite.engine import read_given, read_words
from hatlite.errors import ConfigError

ROOT = Path(__file__).parents[2]
README = [
    "train-dist.py --step 1 [specify any hyperparameters to override config.py]",
    "train-dist.py --step 1 learning-rate 1e-3 checkpoint-path checkpoint/step0/best.pth num-epochs 600 step-size 400"
    " gamma 0.1 warmup-epochs 100",
    "train-dist.py --step 2 [hyperparameters]",
    "train-dist.py --step 2 learning-rate 1e-4 checkpoint-path checkpoint/step1/best.pth num-epochs 800 step-size 400"
    " gamma 0.1 warmup-epochs 200",
    "train-dist.py --step 2 --cal checkpoint-path checkpoint/step2/best.pth",
    "train-dist.py --step 3 [hyperparameters]",
    "train-dist.py --step 3 learning-rate 1e-5 checkpoint-path checkpoint/step2/best.pth num-epochs 800 step-size 400"
    " gamma 0.1 warmup-epochs 200",
    "train-dist.py --step 4 [hyperparameters]",
    "train-dist.py --step 4 learning-rate 1e-5 checkpoint-path checkpoint/step3/best.pth num-epochs 500 step-size 200"
    " gamma 0.1 warmup-epochs 100",
    "train-dist.py --gpus 2 --step 1",
    "train-dist.py --gpus 2 --world-size 2 --rank 0 --dist-url 192.168.3.216:8888",
    "train-dist.py --gpus 2 --world-size 2 --rank 1 --dist-url 192.168.3.216:8888",
]
CONFIG = """
import torch

custom_imports = ["step_types"]
task_name = "steps"
ckpt_dir = {folder!r}
num_classes = 2
batch_size = 4
stage_checkpoint = "last"
model = dict(type="StepDetector")
data_loader = dict(type=torch.utils.data.DataLoader, dataset=dict(type="StepDataset"), batch_size=batch_size)
val_data_loader = data_loader
float_trainer = dict(type="Trainer", model=model, data_loader=data_loader, num_epochs=2,
                     callbacks=[dict(type="StepDecayLrUpdater", lr_decay_every=1), dict(type="Checkpoint")],
                     optimizer=dict(type=torch.optim.SGD, lr=0.01), val_metrics=dict(type="StepMetric"))
"""


def parser():
    return runpy.run_path(str(ROOT / "tools" / "train-dist.py"))["parser"]()


@pytest.mark.parametrize("line", README)
def test_lines_of_the_readme(line):
    args = parser().parse_args(line.split()[1:])
    if "[" in line:  # which stands for what a user may write there
        with pytest.raises(ConfigError, match=r"^\[\w+\]? only stands for what may be given there"):
            read_words(args.overrides)
        return
    given = read_given(read_words(args.overrides))
    assert (args.step, args.cal) == (int((re.findall(r"--step (\d)", line) or ["1"])[0]), "--cal" in line)
    assert len(given) == line.count("-path") + 5 * line.count("learning-rate")
    assert (args.gpus, args.world_size) == ((2, line.count("2 --rank") + 1) if "--gpus" in line else (None, 1))
    assert args.dist_url == ("192.168.3.216:8888" if "--rank" in line else None)


def test_flags_may_stand_between_the_keys():
    args = parser().parse_args("learning-rate 1e-3 --step 2 num-epochs=3 --gpus 2 gamma 0.1".split())
    assert args.overrides == ["learning-rate", "1e-3", "num-epochs=3", "gamma", "0.1"]
    assert (args.step, args.gpus) == (2, 2)


def test_flags_have_an_example():
    for action in parser()._actions:
        if action.option_strings and action.dest not in ("help", "step"):
            assert any(one in action.help for one in (*action.option_strings, "such as")), action.dest


@pytest.fixture
def config(tmp_path):
    fakes = (ROOT / "tests" / "engine" / "conftest.py").read_text()
    for name in ("Detector", "Dataset"):
        fakes = fakes.replace(f"Tiny{name}", f"Step{name}")
    (tmp_path / "step_types.py").write_text(fakes.replace("MeanScore", "StepMetric"))
    path = tmp_path / "steps.py"
    path.write_text(CONFIG.format(folder=str(tmp_path / "run")))
    return path


def tool(name, *args):
    command = [sys.executable, "-W", "error", ROOT / "tools" / name, *map(str, args)]
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests")])  # the networks of the fakes lie there
    env = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=env)


@pytest.mark.slow
def test_a_step_is_trained_and_evaluated(config, tmp_path):
    line = "learning-rate 0.5 num-epochs 1 gamma 0.5 batch-size 2 checkpoint-path checkpoint/step0/best.pth"
    done = tool("train-dist.py", "--step", 1, "--config", config, "--device", "cpu", *line.split())
    assert done.returncode == 0, done.stderr
    assert "checkpoint/step0/best.pth does not exist: stage 'float' starts from random weights." in done.stderr
    assert f"Step 1 is: python tools/train.py --stage float --config {config} --opts" in done.stderr
    written = json.loads((tmp_path / "run" / "float-config.json").read_text())
    assert written["float_trainer"]["optimizer"]["lr"] == 0.5
    assert written["float_trainer"]["callbacks"][0]["lr_decay_factor"] == 0.5
    assert written["data_loader"]["batch_size"] == 2
    assert "| float |" in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    ("args", "said"),
    [
        ("--step 3", "StageError: --step 3 is a stage of kind 'qat_activations', and "),
        (
            "--step 3 --cal",
            "StageError: --cal is the calibration behind step 2, and --step is 3; write --step 2 --cal.",
        ),
        (
            "--step 1 step 2",
            "ConfigError: step is nothing that training can be given here: it is a flag here: --step N.",
        ),
        ("--step 1 lerning-rate 1", "Did you mean 'learning-rate'?"),
        ("--world-size 2 --rank 2 --dist-url a:1", "LaunchError: --rank is 2, and --world-size 2 means the nodes 0…1"),
        ("checkpoint-path nowhere.pth", "CheckpointError: checkpoint-path nowhere.pth: there is no such file; check"),
        ("--step 3 --fuse-bn", "StageError: --fuse-bn is of steps 1 and 2, and --step is 3"),
    ],
)
def test_what_cannot_be_done_is_one_message_and_exit_code_2(config, tmp_path, args, said):
    done = tool("train-dist.py", "--config", config, *args.split())
    assert done.returncode == 2 and said in done.stderr, done.stderr
    assert "Traceback" not in done.stderr and not (tmp_path / "run").exists()


def test_the_keys_are_printed(capsys):
    main = runpy.run_path(str(ROOT / "tools" / "train-dist.py"))["main"]
    assert main(parser().parse_args(["--keys"])) is None
    assert "learning-rate  " in capsys.readouterr().out
    assert main(parser().parse_args(["--fuse-bn"])) is None
    assert capsys.readouterr().out.startswith("Nothing is written: step 2 folds the batch norms")
