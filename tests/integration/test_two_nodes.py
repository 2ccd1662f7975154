"""The toolkit's line for two nodes, started twice on this machine: its weights are those of one process."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from hatlite.engine.checkpoint import load_checkpoint

ROOT = Path(__file__).parents[2]
ENV = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")]), "OMP_NUM_THREADS": "1"}
CONFIG = """
import torch

custom_imports = ["node_types"]
task_name = "nodes"
ckpt_dir = {folder!r}
num_classes = 2
batch_size = 8
stage_checkpoint = "last"
model = dict(type="NodeDetector")
data_loader = dict(type=torch.utils.data.DataLoader, dataset=dict(type="NodeDataset", length=16), batch_size=batch_size,
                   shuffle=True)
val_data_loader = dict(type=torch.utils.data.DataLoader, dataset=dict(type="NodeDataset", length=4), batch_size=1)
float_trainer = dict(type="Trainer", model=model, data_loader=data_loader, num_epochs=2, sync_bn=True,
                     callbacks=[dict(type="Checkpoint")], optimizer=dict(type=torch.optim.SGD, lr=0.1),
                     val_metrics=dict(type="NodeMetric"))
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    fakes = (ROOT / "tests" / "engine" / "conftest.py").read_text().replace("Tiny", "Node")
    (tmp_path / "node_types.py").write_text(fakes.replace("MeanScore", "NodeMetric"))
    path = tmp_path / "nodes.py"
    path.write_text(CONFIG.format(folder=str(tmp_path / "run")))
    return path


def start(config: Path, line: str, folder: Path) -> subprocess.Popen[str]:
    """Start the toolkit's `line` on `config`."""
    own = ["--config", str(config), "--device", "cpu", "--opts", f"ckpt_dir={folder}"]
    command = [sys.executable, "tools/train-dist.py", *line.split(), *own]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, env=ENV, cwd=ROOT, **pipes)


def ends(processes: list[subprocess.Popen[str]]) -> list[tuple[int, str, str]]:
    """Return exit code, output and errors of each."""
    said = [process.communicate(timeout=300) for process in processes]
    return [(process.returncode, *texts) for process, texts in zip(processes, said, strict=True)]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


def test_two_nodes_of_two_processes_make_the_weights_of_one(config: Path, tmp_path: Path) -> None:
    url = f"127.0.0.1:{free_port()}"
    lines = [f"--gpus 2 --world-size 2 --rank {rank} --dist-url {url}" for rank in (0, 1)]
    (alone,) = ends([start(config, "--step 1", tmp_path / "alone")])
    assert alone[0] == 0, alone[2]
    first, second = ends([start(config, line, tmp_path / "run") for line in lines])
    assert (first[0], second[0]) == (0, 0), first[2] + second[2]
    assert (first[1].count("| float |"), second[1]) == (1, ""), "the first process alone reports"
    ours, theirs = (
        load_checkpoint(tmp_path / name / "float-checkpoint-last.pth.tar")["state_dict"] for name in ("alone", "run")
    )
    assert ours.keys() == theirs.keys()
    for name, weight in ours.items():  # sums of shares are rounded in another order
        torch.testing.assert_close(theirs[name], weight, rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_nodes_that_start_unequally_end_with_one_sentence_each(config: Path, tmp_path: Path) -> None:
    url = f"127.0.0.1:{free_port()}"
    lines = [f"--gpus {rank + 1} --world-size 2 --rank {rank} --dist-url tcp://{url}" for rank in (0, 1)]
    for code, _, told in ends([start(config, line, tmp_path / "run") for line in lines]):
        assert code == 2 and "LaunchError: 3 processes came together, and" in told and "Traceback" not in told, told
