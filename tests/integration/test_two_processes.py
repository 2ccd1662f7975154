"""Several processes as a user starts them: every stage, and every way in which one of them can end."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hatlite.data.packing import pack_coco
from hatlite.data.shapes_file import write_shapes

ROOT = Path(__file__).parents[2]
ENV = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")]), "OMP_NUM_THREADS": "1"}
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
SHAPES = "configs/detection/fcos/fcos_efficientnetb0_shapes.py"
SMALL = [
    "num_epochs=1",
    "qat_epochs=1",
    "batch_size=2",
    "num_workers=0",
    "model.backbone.width_coefficient=0.25",
    "model.backbone.depth_coefficient=0.1",
    "model.neck.out_channels=16",
    "model.neck.stack=1",
    "model.head.stacked_convs=1",
    "model.head.feat_channels=16",
    "model.head.stride2channels=None",
    "calibration_trainer.num_steps=2",
]


def run(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False, env=ENV, cwd=ROOT, timeout=300)


def test_each_stage_in_two_processes_of_either_launcher(tmp_path: Path) -> None:
    for split, count in (("train", 4), ("val", 3)):
        write_shapes(tmp_path, split, num_images=count, seed=count, size=(128, 128))
        pack_coco(tmp_path, tmp_path, split)
    words = ["--config", SHAPES, "--opts", *SMALL, f"data_path={tmp_path}", f"ckpt_dir={tmp_path / 'run'}"]
    own, outer = [sys.executable, "tools/train.py", "--device-ids", "0,1"], [*TORCHRUN, "tools/train.py"]
    for stage, command in (
        ("float", own),
        ("calibration", [*outer, "--launcher", "torch"]),
        ("qat", outer),
        ("int_infer", own),
    ):
        done = run([*command, "--stage", stage, *words])
        assert done.returncode == 0, done.stderr
        assert done.stdout.count(f"| {stage} ") == 1, "the first process alone reports"
    rows = json.loads((tmp_path / "run" / "stages.json").read_text())["stages"]
    assert list(rows) == ["float", "calibration", "qat", "int_infer"]
    assert [row["images"] for row in rows.values()] == [3, 3, 3, 3]
    assert rows["int_infer"]["passed"] is True  # equal to qat, digit for digit


CONFIG = """
import torch

custom_imports = ["faulty_types"]
task_name = "faulty"
num_classes = 2
ckpt_dir = {folder!r}
stage_checkpoint = "last"
device_ids = [0, 1, 2, 3, 4, 5, 6, 7]
model = dict(type="FaultyDetector")
fault = dict(type="Fault", kind="none", rank=1)
data_loader = dict(type=torch.utils.data.DataLoader, dataset=dict(type="FaultyDataset", length=8), batch_size=2,
                   num_workers=1)
val_data_loader = dict(type=torch.utils.data.DataLoader, dataset=dict(type="FaultyDataset", length=4), batch_size=2)
float_trainer = dict(type="Trainer", model=model, data_loader=data_loader, num_epochs=50,
                     callbacks=[fault, dict(type="Checkpoint")], optimizer=dict(type=torch.optim.SGD, lr=0.01),
                     val_metrics=dict(type="FaultyMetric"))
"""
FAULT = '''

@OBJECT_REGISTRY.register
class Fault(Callback):
    """Does something to one process in its third step."""

    def __init__(self, kind: str, rank: int) -> None:
        self.kind, self.rank = kind, rank

    def on_step_begin(self, loop) -> None:
        if loop.step == 2 and process()[0] == self.rank:
            {
                "none": lambda: None,
                "nan": lambda: loop.batch["img"].fill_(float("nan")),
                "data": lambda: self.refuse(),
                "bug": lambda: [][1],
                "kill": lambda: os.kill(os.getpid(), signal.SIGKILL),
                "wait": lambda: self.wait(),
            }[self.kind]()

    def refuse(self) -> None:
        raise DataError("The disk of the second process is full of water; dry it.")

    def wait(self) -> None:
        sign = Path(os.environ["WAITING"])
        sign.touch()
        while sign.exists():
            time.sleep(0.01)
'''


@pytest.fixture
def faulty(tmp_path: Path) -> Path:
    """A config of a tiny detector whose second process does what `fault.kind` says."""
    fakes = (ROOT / "tests" / "engine" / "conftest.py").read_text().replace("Tiny", "Faulty")
    imports = "import time\nfrom pathlib import Path\nfrom hatlite.errors import DataError\n"
    (tmp_path / "faulty_types.py").write_text(imports + fakes.replace("MeanScore", "FaultyMetric") + FAULT)
    path = tmp_path / "faulty.py"
    path.write_text(CONFIG.format(folder=str(tmp_path / "run")))
    return path


def train(config: Path, *flags: str, kind: str = "none", launcher: str = "--device-ids") -> list[str]:
    own = launcher == "--device-ids"
    command = [sys.executable, "tools/train.py", "--device-ids", "0,1"] if own else [*TORCHRUN, "tools/train.py"]
    return [*command, *flags, "--stage", "float", "--config", str(config), "--opts", f"fault.kind={kind}"]


def test_a_loss_that_is_not_finite_in_one_process_ends_all_with_its_message(faulty: Path) -> None:
    done = run(train(faulty, kind="nan"))
    assert done.returncode == 2
    told = done.stderr[done.stderr.index("Process 1 of 2: ") :]
    assert told.startswith("Process 1 of 2: TrainingError: At step 2 loss 'cls' is nan")
    assert "Images of the batch: 1.jpg, 3.jpg." in told and "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("kind", "code", "said"),
    [
        ("kill", 137, r"was ended by SIGKILL, and the others with it"),
        pytest.param("data", 2, r"Process 1 of 2: DataError: The disk of the second process", marks=pytest.mark.slow),
        pytest.param("bug", 1, r"Process 1 of 2 ended with exit code 1; its traceback", marks=pytest.mark.slow),
    ],
)
def test_a_process_that_ends_takes_the_others_with_it(faulty: Path, kind: str, code: int, said: str) -> None:
    done = run(train(faulty, kind=kind))
    assert (done.returncode, said in done.stderr) == (code, True), done.stderr
    assert ("IndexError" in done.stderr) == ("Traceback" in done.stderr) == (kind == "bug")


@pytest.mark.slow
def test_torchrun_shows_the_message_too(faulty: Path) -> None:
    done = run(train(faulty, kind="data", launcher="torchrun"))
    assert done.returncode == 1
    assert done.stderr.count("DataError: The disk of the second process is full of water; dry it.") >= 2


def until_waiting(command: list[str], sign: Path) -> subprocess.Popen[str]:
    """Start `command` and return it when its second process waits in its third step."""
    env = {**ENV, "WAITING": str(sign)}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    process = subprocess.Popen(command, env=env, cwd=ROOT, **pipes)
    while not sign.exists() and process.poll() is None:
        time.sleep(0.05)
    return process


def workers_of(process: subprocess.Popen[str]) -> list[int]:
    return [int(pid) for pid in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]


def runs(pid: int) -> bool:
    """Return whether a process still runs; one that only waits to be noticed does not."""
    status = Path(f"/proc/{pid}/stat")
    return status.exists() and status.read_text().rpartition(")")[2].split()[0] != "Z"


def test_ctrl_c_ends_both_after_the_same_step_and_saves(faulty: Path, tmp_path: Path) -> None:
    process = until_waiting(train(faulty, kind="wait"), tmp_path / "waiting")
    children = workers_of(process)
    process.send_signal(signal.SIGINT)
    time.sleep(0.5)  # the launcher hands it on; it may come later, then a later step is the last
    (tmp_path / "waiting").unlink()
    stdout, stderr = process.communicate(timeout=120)
    assert process.returncode == 130 and "Traceback" not in stderr and "death signal" not in stderr
    command = f"python tools/train.py --stage float --config {faulty} --opts fault.kind=wait --device-ids 0,1 --resume"
    assert stdout == f"Interrupted and saved. To go on: {command}\n"
    assert (tmp_path / "run" / "float-checkpoint-last.pth.tar").is_file()
    assert len(children) == 2 and not any(map(runs, children))


@pytest.mark.slow
def test_an_order_to_end_is_answered_in_one_sentence(faulty: Path, tmp_path: Path) -> None:
    process = until_waiting(train(faulty, kind="wait"), tmp_path / "waiting")
    children = workers_of(process)
    process.terminate()
    stdout, stderr = process.communicate(timeout=120)
    assert (process.returncode, stdout) == (143, "")
    assert stderr.splitlines()[-1].startswith("Ended by SIGTERM, and the 2 processes with it; what they had saved")
    assert "Traceback" not in stderr and "death signal" not in stderr
    assert len(children) == 2 and not any(map(runs, children))


@pytest.mark.slow
def test_no_process_outlives_its_launcher(faulty: Path, tmp_path: Path) -> None:
    process = until_waiting(train(faulty, kind="wait"), tmp_path / "waiting")
    children = workers_of(process)
    process.kill()
    process.communicate(timeout=120)  # ends when nobody holds its output any more
    assert len(children) == 2 and not any(map(runs, children))
