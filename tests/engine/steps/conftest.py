"""A config as GNetDet's are, whose types nothing builds."""

from collections.abc import Callable
from pathlib import Path

import pytest

from hatlite.engine.run import Run, Stage

CONFIG = """
import torch

task_name = "gnetdet"
ckpt_dir = {folder!r}
ds_name = "VOC0712"
classes = ["cat", "dog"]
num_classes = len(classes)
image_size = 448
image_format = "BGR"
batch_norm = True
batch_size = 16
num_workers = 4
stages = [
    dict(name="float", kind="float"),
    dict(name="qat", kind="qat_weights", starts_from="float"),
    dict(name="calibration", kind="calibration_weights", starts_from="qat"),
    dict(name="qat_activations", kind="qat_activations", starts_from="calibration"),
    dict(name="qat_31", kind="qat", starts_from="qat_activations"),
]
model = dict(
    type="GNetDet",
    backbone=dict(type="GNet", input_size=image_size, batch_norm=batch_norm),
    head=dict(type="GNetHead", num_classes=num_classes),
    loss=dict(type="GNetDetLoss", loss_weights=(5.0, 0.005)),
    post_process=dict(type="GridDecoder"),
)
data_loader = dict(
    type=torch.utils.data.DataLoader,
    dataset=dict(type="GNetMeta", path=f"data/meta/{{ds_name}}_train.txt", classes=classes, image_format=image_format),
    batch_size=batch_size,
    num_workers=num_workers,
)


def trainer(lr):
    return dict(
        type="Trainer",
        optimizer=dict(type=torch.optim.SGD, lr=lr, momentum=0.9, weight_decay=6e-6),
        num_epochs=200,
        callbacks=[
            dict(type="StatsMonitor", log_freq=50),
            dict(type="StepDecayLrUpdater", lr_decay_every=20, lr_decay_factor=0.75, warmup_len=2),
        ],
    )


float_trainer, qat_trainer, qat_activations_trainer, qat_31_trainer = map(trainer, (1e-3, 1e-4, 1e-5, 1e-5))
calibration_trainer = dict(type="Calibrator", num_steps=50)
"""


@pytest.fixture
def step_config(tmp_path: Path) -> Path:
    """The file; its run's folder lies beside it."""
    path = tmp_path / "gnetdet.py"
    path.write_text(CONFIG.format(folder=str(tmp_path / "run")))
    return path


@pytest.fixture
def step_run(step_config: Path) -> Run:
    """Its run."""
    return Run.load(str(step_config))


@pytest.fixture
def leave(tmp_path: Path) -> Callable[[str], Path]:
    """Make the file of a checkpoint in the run's folder, with nothing in it, and return it."""

    def write(name: str) -> Path:
        path = tmp_path / "run" / f"{name}.pth.tar"
        path.parent.mkdir(exist_ok=True)
        path.touch()
        return path

    return write


@pytest.fixture
def stage_of(step_run: Run) -> Callable[[str], Stage]:
    """A stage by name."""
    return step_run.stage
