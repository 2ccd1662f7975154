"""Two processes with the same global batch train as one does: losses, weights, averages, statistics, constants."""

import copy
from typing import Any

import numpy as np
import pytest
import torch
from process_groups import in_processes
from torch import nn

from hatlite.data.datasets.synthetic import draw_picture
from hatlite.engine import Callback, Run, run_stage
from hatlite.engine.checkpoint import load_checkpoint
from hatlite.engine.processes import process
from hatlite.errors import CheckpointError
from hatlite.registry import OBJECT_REGISTRY

SIZE = 64
STRIDES = [8, 16, 32]


@OBJECT_REGISTRY.register
class DrawnShapes:
    """Shapes of :func:`draw_picture`; image 0 has no object, so that a process may have no positive.

    Args:
        length: Number of images.
        size: Height and width.
        bits: Of a pixel, as integers from 0; None is about -1…1.
    """

    classes = ("circle", "cross", "square", "star", "triangle")

    def __init__(self, length: int = 11, size: int = SIZE, bits: int | None = None) -> None:
        self.length, self.size, self.bits = length, (size, size), bits

    def __len__(self) -> int:
        return self.length

    def get(self, index: int, rng: np.random.Generator) -> dict[str, Any]:
        picture, shapes = draw_picture(np.random.default_rng(index), self.size)
        boxes = np.array([shape.box for shape in shapes], dtype=np.float32).reshape(-1, 4)[: 0 if index == 0 else None]
        pixels = picture.astype(np.float32) / 128 - 1 + rng.normal(0, 0.01)  # augmentation: another one each epoch
        if self.bits is not None:
            pixels = ((pixels + 1) * 2 ** (self.bits - 1)).round().clip(0, 2**self.bits - 1)
        return {
            "img": torch.from_numpy(pixels.astype(np.float32)).permute(2, 0, 1),
            "gt_bboxes": boxes,
            "gt_classes": np.array([shape.label for shape in shapes], dtype=np.int64)[: len(boxes)],
            "img_id": index,
            "img_name": f"{index}.jpg",
            "matrix": np.eye(3),
            "orig_size": self.size,
        }


@OBJECT_REGISTRY.register
class Watch(Callback):
    """Notes each step's losses and, at the end, everything that a process holds."""

    losses: list[dict[str, float]]
    last: "Watch"

    def __init__(self) -> None:
        type(self).last = self
        self.losses = []

    def on_step_end(self, loop) -> None:
        self.losses.append({name: float(value) for name, value in loop.losses.items()})

    def on_loop_end(self, loop) -> None:
        self.state = {
            **{f"model.{name}": value.clone() for name, value in loop.model.state_dict().items()},
            **{f"average.{name}": value.clone() for name, value in loop.evaluation_model.state_dict().items()},
        }


def fcos() -> dict[str, Any]:
    return {
        "type": "FCOS",
        "backbone": {"type": "efficientnet", "widths": [4, 4, 4, 8, 8, 8, 8, 8], "depth_coefficient": 0.1},
        "neck": {"type": "BiFPN", "out_channels": 8, "stack": 1, "out_strides": STRIDES},
        "head": {
            "type": "FCOSHead",
            "num_classes": 5,
            "in_strides": STRIDES,
            "feat_channels": 8,
            "stacked_convs": 1,
            "upscale_bbox_pred": True,
        },
        "targets": {"type": "DynamicFcosTarget"},
        "post_process": {"type": "FCOSDecoder", "test_cfg": {"score_thr": 0.01}},
        "loss_cls": {"type": "FocalLoss"},
        "loss_centerness": {"type": "CrossEntropyLossV2", "use_sigmoid": True},
        "loss_reg": {"type": "GIoULoss"},
    }


def gnetdet() -> dict[str, Any]:
    backbone = {"type": "GNet", "input_size": 56, "batch_norm": True, "widths": [[4], [4], [8, 8]]}
    return {
        "type": "GNetDet",
        "backbone": backbone,
        "head": {"type": "GNetHead", "num_classes": 5},
        "targets": {"type": "GridTarget", "grid_size": 14},
        "post_process": {"type": "GridDecoder", "conf_thresh": 0.2, "prob_thresh": 0.1},
        "loss": {"type": "GNetDetLoss", "normaliser": 5.0},
    }


CHAIN = {
    "float": "float",
    "qat": "qat_weights",
    "calibration": "calibration_weights",
    "qat_activations": "qat_activations",
    "qat_31": "qat",
}
"""Stage → kind, each from the one before."""


def steps(folder, batch_size: int) -> dict[str, Any]:
    """A run of GNetDet by the steps of its toolkit."""
    images = {"type": "DrawnShapes", "size": 56, "bits": 5}
    qconfig = {"type": "QConfig", "output_gains": "per_channel", "rules": {"*conv3": {"weight_dtype": "int8"}}}
    optimizer = {**SGD, "lr": 1e-3}  # smaller, so that a last bit of a sum stays one
    cfg = config(folder, batch_size=batch_size, optimizer=optimizer, qconfig=qconfig, model=gnetdet(), images=images)
    names = list(CHAIN)
    stages = [
        {"name": name, "kind": kind, **({"starts_from": names[index - 1]} if index else {})}
        for index, (name, kind) in enumerate(CHAIN.items())
    ]
    trainers = {f"{name}_trainer": cfg["qat_trainer"] for name in ("qat_activations", "qat_31")}
    return {**cfg, "march": "gti5801", "stages": stages, **trainers}


def config(
    folder,
    *,
    batch_size: int,
    optimizer: dict,
    qconfig: dict | None = None,
    model: dict | None = None,
    images: dict | None = None,
    **trainer: Any,
) -> dict[str, Any]:
    model = model or fcos()
    data = {"type": torch.utils.data.DataLoader, "dataset": images or {"type": "DrawnShapes"}, "shuffle": True}
    val = {**copy.deepcopy(data), "shuffle": False, "batch_size": 5}
    common = {"model": model, "val_metrics": {"type": "MeanScoreOf"}, "callbacks": [{"type": "Checkpoint"}]}
    training = {
        "type": "distributed_data_parallel_trainer",
        **common,
        "data_loader": {**data, "batch_size": batch_size},
        "optimizer": optimizer,
        "num_epochs": 2,
        "batch_processor": {
            "type": "MultiBatchProcessor",
            "clip_grad_norm": 5.0,
            "grad_accumulation_step": 2,
        },
        "sync_bn": True,
        "callbacks": [
            {"type": "ExponentialMovingAverage", "decay": 0.9, "ramp": 2.0},
            {"type": "CosLrUpdater", "warmup_len": 0},
            {"type": "Validation", "data_loader": val},
            {"type": "Checkpoint", "monitor_metric_key": "val_loss", "mode": "min"},
            {"type": "Watch"},
        ],
        **trainer,
    }
    calibrator = {"type": "Calibrator", **common, "data_loader": val, "num_steps": 2}
    return {
        "task_name": "shared",
        "num_classes": 5,
        "ckpt_dir": str(folder),
        "seed": 3,
        "stage_checkpoint": "last",
        "model": model,
        "data_loader": training["data_loader"],
        "val_data_loader": val,
        "float_trainer": training,
        "calibration_trainer": calibrator,
        "qat_trainer": training,
        **({"qconfig": qconfig} if qconfig else {}),
    }


@OBJECT_REGISTRY.register
class MeanScoreOf:
    """A metric with the documented protocol; the order of its float sums is that of the batches."""

    def bind(self, dataset: Any) -> None:
        self.reset()

    def reset(self) -> None:
        self.total, self.seen = 0.0, []

    def update(self, batch, detections) -> None:
        assert len(batch["img"]) == len(detections)
        self.total += sum(float(found.scores.sum()) for found in detections)
        self.seen += batch["img_id"]

    def compute(self) -> dict[str, float]:
        assert self.seen == list(range(len(self.seen))), "each image once, in the order of the loader"
        return {"mAP": self.total / len(self.seen), "AP50": float(len(self.seen)), "AP75": 0.0}


def run(rank: int, cfg: dict[str, Any], stage: str) -> tuple[list[dict[str, float]], dict[str, np.ndarray]]:
    row = run_stage(Run(copy.deepcopy(cfg)), stage)
    state = {name: value.numpy() for name, value in Watch.last.state.items()}
    return Watch.last.losses, state, {k: v for k, v in row.items() if k.startswith(("val_loss", "mAP", "images"))}


SGD = {"type": torch.optim.SGD, "lr": 0.02, "momentum": 0.9, "params": {"weight": {"weight_decay": 1e-4}}}
ADAMW = {"type": torch.optim.AdamW, "lr": 1e-3}
LEARNED = {"type": "QConfig", "activation": {"learn": True}, "bn": "train"}
RUNNING = {"type": "QConfig", "activation": {"observer": "mean_percentile"}, "ranges": "train"}


def assert_alike(alone, shared, *, losses: float, weights: float | None) -> None:
    """Compare step by step; `losses` is relative to the loss, `weights` absolute. The processes agree to the bit."""
    (first, mine, row), (second, theirs, other) = shared
    assert len(alone[0]) == len(first) == 4
    for expected, found, same in zip(alone[0], first, second, strict=True):
        assert found == same
        assert found == pytest.approx(expected, rel=losses)
    for name, value in mine.items():
        np.testing.assert_array_equal(value, theirs[name], err_msg=name)
        if weights is not None:
            np.testing.assert_allclose(value, alone[1][name], rtol=0, atol=weights, err_msg=name)
    speed = "images_per_second"
    assert {**row, speed: 0} == {**other, speed: 0} and row["images"] == alone[2]["images"] == 11


@pytest.mark.parametrize(("optimizer", "weights"), [(SGD, 1e-4), (ADAMW, None)], ids=["sgd", "adamw"])
def test_float_training_is_that_of_one_process(tmp_path, optimizer, weights):
    """Sums in another order differ in the last bits; AdamW makes a step of such a bit where the gradient is 0."""
    alone = run(0, config(tmp_path / "alone", batch_size=4, optimizer=optimizer), "float")
    shared = in_processes(2, run, config(tmp_path / "shared", batch_size=2, optimizer=optimizer), "float")
    assert_alike(alone, shared, losses=1e-5, weights=weights)


@pytest.mark.parametrize("qconfig", [{"type": "QConfig"}, LEARNED, RUNNING], ids=["frozen", "learned", "running"])
def test_qat_is_that_of_one_process_and_its_integers_are_one(tmp_path, qconfig):
    cfg = config(tmp_path / "run", batch_size=4, optimizer=SGD, qconfig=qconfig)
    for stage in ("float", "calibration"):
        run(0, cfg, stage)
    alone = run(0, cfg, "qat")
    cfg["qat_trainer"]["data_loader"]["batch_size"] = 2
    shared = in_processes(2, run, cfg, "qat")
    assert_alike(alone, shared, losses=1e-5, weights=None)  # a last bit moves a multiplier now and then
    assert sum(name.endswith(("multiplier", "shift")) for name in shared[0][1]) > 50, "the integers were compared"


def left_by(rank: int, cfg: dict[str, Any], stage: str) -> dict[str, np.ndarray]:
    """Run `stage` and return what its checkpoint holds."""
    found = Run(copy.deepcopy(cfg))
    run_stage(found, stage)
    return {name: value.numpy() for name, value in load_checkpoint(found.checkpoint(stage))["state_dict"].items()}


def test_the_steps_of_gnetdet_are_those_of_one_process(tmp_path):
    alone, shared = (steps(tmp_path / "run", batch_size) for batch_size in (4, 2))
    for stage in CHAIN:
        if stage == "calibration":
            expected, found = left_by(0, alone, stage), in_processes(2, left_by, shared, stage)
            assert sum(name.endswith(".scale") for name in expected) > 4
            for one in found:
                np.testing.assert_equal(one, expected)
        else:
            expected, found = run(0, alone, stage), in_processes(2, run, shared, stage)
            assert_alike(expected, found, losses=1e-5, weights=None)
    assert all(np.isfinite(found[0][1][f"model.network.sites.backbone_conv{index}.cap"]) for index in range(4))


def test_without_sync_bn_the_statistics_of_the_first_process_count(tmp_path):
    refresh = {"type": "QuantRefresh", "refresh_steps": 1}  # constants are made of statistics after every step
    cfg = config(tmp_path / "run", batch_size=2, optimizer=SGD, qconfig=LEARNED, sync_bn=False)
    cfg["qat_trainer"] = {**cfg["qat_trainer"], "callbacks": [refresh, *cfg["qat_trainer"]["callbacks"]]}
    for stage in ("float", "calibration", "qat"):
        (_, first, _), (_, second, _) = (
            in_processes(2, run, cfg, stage) if stage != "calibration" else 2 * (run(0, cfg, stage),)
        )
        for name, value in first.items():
            np.testing.assert_array_equal(value, second[name], err_msg=name)


@OBJECT_REGISTRY.register
class NoisyDetector(OBJECT_REGISTRY.get("TinyDetector")):
    """A detector with dropout, whose second process draws more random numbers than the first."""

    def compute_losses(self, outputs, batch):
        torch.rand(process()[0])
        kept = {name: nn.functional.dropout(value, 0.3, self.training) for name, value in outputs.items()}
        return super().compute_losses(kept, batch)


def noisy(tiny_config, folder, **more) -> dict[str, Any]:
    trainer = {**tiny_config["float_trainer"], "model": {"type": "NoisyDetector"}}
    trainer["callbacks"] = [{"type": "InterruptAt", "step": 99, "rank": 1}, *trainer["callbacks"]]
    return {**tiny_config, "model": trainer["model"], "ckpt_dir": str(folder), "float_trainer": {**trainer, **more}}


def last_of(rank: int, cfg: dict[str, Any], resume: bool = False) -> dict[str, Any]:
    found = Run(copy.deepcopy(cfg))
    try:
        run_stage(found, "float", resume=resume)
    except KeyboardInterrupt:
        pass
    return plain(load_checkpoint(found.checkpoint("float", "last")))


def plain(value: Any) -> Any:
    """Return nested tensors as arrays; paths in the config's text are those of another folder."""
    if isinstance(value, dict):
        return {
            key: plain(item)
            for key, item in value.items()
            if key not in ("config", "metrics", "random_state", "seconds")
        }
    return value.numpy() if isinstance(value, torch.Tensor) else value


@pytest.mark.parametrize("step", [0, 1, 2])
def test_ctrl_c_in_one_process_ends_all_after_the_step_and_resumes_to_the_bit(tiny_config, tmp_path, step):
    whole, _ = in_processes(2, last_of, noisy(tiny_config, tmp_path / "whole"))
    cfg = noisy(tiny_config, tmp_path / "parts")
    cfg["float_trainer"]["callbacks"][0]["step"] = step
    first, second = in_processes(2, last_of, cfg)
    assert first["step"] == second["step"] == step + 1
    cfg["float_trainer"]["callbacks"][0]["step"] = 99
    parts, _ = in_processes(2, last_of, cfg, True)
    assert whole["step"] == parts["step"] == 4
    np.testing.assert_equal(parts, whole)


def test_another_number_of_processes_does_not_resume_with_another_global_batch(tiny_config, tmp_path):
    cfg = noisy(tiny_config, tmp_path / "run", num_epochs=1)
    in_processes(2, last_of, cfg)
    cfg["float_trainer"]["num_epochs"] = 2
    with pytest.raises(
        CheckpointError, match="was written by 2 processes, 2 steps an epoch, and 1 would go on, 4"
    ) as told:
        run_stage(Run(cfg), "float", resume=True)
    assert "start 2 again, or choose batch_size so that batch_size · processes stays" in str(told.value)
    cfg["float_trainer"]["data_loader"]["batch_size"] = 4
    assert run_stage(Run(cfg), "float", resume=True)["epoch"] == 2
