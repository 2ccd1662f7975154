"""The tools end to end, on a detector of the user's own: its module is named in custom_imports."""

import json
import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CONFIG = """
import torch

custom_imports = ["tiny_types"]
task_name = "tiny"
num_classes = 2
ckpt_dir = {folder!r}
model = dict(type="OwnDetector")
data_loader = dict(type=torch.utils.data.DataLoader, dataset=dict(type="OwnDataset"), batch_size=2, shuffle=True)
val_data_loader = dict(type=torch.utils.data.DataLoader, dataset=dict(type="OwnDataset", length=4), batch_size=2)
callbacks = [dict(type="StatsMonitor", log_freq=2), dict(type="MetricUpdater"), dict(type="Validation",
             data_loader=val_data_loader), dict(type="Checkpoint")]
float_trainer = dict(type="Trainer", model=model, data_loader=data_loader, num_epochs=2, callbacks=callbacks,
                     optimizer=dict(type=torch.optim.SGD, lr=0.01),
                     train_metrics=dict(type="LossShow"), val_metrics=dict(type="OwnMetric"))
"""


@pytest.fixture
def config(tmp_path):
    fakes = (ROOT / "tests" / "engine" / "conftest.py").read_text()
    for name in ("Detector", "Dataset"):
        fakes = fakes.replace(f"Tiny{name}", f"Own{name}")
    (tmp_path / "tiny_types.py").write_text(fakes.replace("MeanScore", "OwnMetric"))
    path = tmp_path / "tiny.py"
    path.write_text(CONFIG.format(folder=str(tmp_path / "run")))
    return path


def tool(name, *args):
    command = [sys.executable, "-W", "error", ROOT / "tools" / name, *map(str, args)]
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests")])  # the networks of the fakes lie there
    env = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=env)


@pytest.mark.slow
def test_train_and_predict_report_the_same_metric(config, tmp_path):
    trained = tool("train.py", "--stage", "float", "--config", config, "--opts", "float_trainer.num_epochs=1")
    assert trained.returncode == 0, trained.stderr
    assert "| float |" in trained.stdout
    row = json.loads((tmp_path / "run" / "stages.json").read_text())["stages"]["float"]
    assert row["epoch"] == 1
    predicted = tool("predict.py", "--stage", "float", config)
    assert predicted.returncode == 0, predicted.stderr
    assert f"mAP                     {row['mAP']:.6g}" in predicted.stdout
    resolved = json.loads((tmp_path / "run" / "float-config.json").read_text())
    assert resolved["float_trainer"]["num_epochs"] == 1
    assert resolved["float_trainer"]["optimizer"]["type"] == "torch.optim.SGD"


@pytest.mark.slow
def test_ctrl_c_saves_and_exits_with_130(config, tmp_path):
    source = config.with_name("tiny_types.py")
    text = "import os, signal\n" + source.read_text()
    hit = "        self.calls += self.training\n"
    source.write_text(text.replace(hit, hit + "        self.calls == 2 and os.kill(os.getpid(), signal.SIGINT)\n"))
    done = tool("train.py", "--stage", "float", "--config", config)
    assert done.returncode == 130
    assert (
        f"Interrupted and saved. To go on: python tools/train.py --stage float --config {config} --resume"
        in done.stdout
    )
    assert "Traceback" not in done.stderr
    assert (tmp_path / "run" / "float-checkpoint-last.pth.tar").is_file()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--opts", "model.poisn=1"], "BuildError: config['model']: OwnDetector got an unexpected key 'poisn'."),
        (["--opts", "num_classes=3"], "ConfigError: config['num_classes'] is 3, but OwnDataset has 2 classes"),
        (["--device", "gpu"], "ConfigError: device 'gpu' is not one that torch knows"),
    ],
)
def test_bad_input_is_one_message_and_exit_code_2(config, tmp_path, args, said):
    done = tool("train.py", "--stage", "float", "--config", config, *args)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.glob("run/*checkpoint*"))


@pytest.mark.parametrize("name", ["train.py", "predict.py"])
def test_help_needs_no_torch(name):
    code = "import runpy, sys; sys.argv[1:] = ['--help']; sys.modules['torch'] = None;"
    code += f" runpy.run_path({str(ROOT / 'tools' / name)!r}, run_name='__main__')"
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=env)
    assert done.returncode == 0, done.stderr
    assert "--stage" in done.stdout


def test_help_has_an_example_for_every_flag():
    parser = runpy.run_path(str(ROOT / "tools" / "train.py"))["parser"]()
    flags = [action for action in parser._actions if action.option_strings and action.dest != "help"]
    assert len(flags) >= 7
    for action in flags:
        assert any(flag in action.help for flag in (*action.option_strings, "such as")), action.dest
