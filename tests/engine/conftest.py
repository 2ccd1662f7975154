"""A detector and a data set small enough to train in milliseconds."""

import copy
import os
import signal
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from chain_networks import ChainNetwork
from torch import nn

from hatlite.engine import Callback
from hatlite.engine.processes import process
from hatlite.nn import DeQuantStub, QuantStub
from hatlite.registry import OBJECT_REGISTRY
from hatlite.structures import Detections


class TinyNetwork(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.quant = QuantStub(scale=1 / 128)
        self.conv, self.bn, self.relu = nn.Conv2d(3, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4), nn.ReLU()
        self.head, self.dequant = nn.Conv2d(4, 2, 1), DeQuantStub("int16")

    def forward(self, img: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"cls_logits_s1": self.dequant(self.head(self.relu(self.bn(self.conv(self.quant(img))))))}


@OBJECT_REGISTRY.register
class TinyDetector(nn.Module):
    """Predicts the mean colour of the image; `poison` makes the loss of one step NaN."""

    def __init__(self, poison: int | None = None, pretrained: str | None = None, quantize: bool = False) -> None:
        super().__init__()
        self.network = TinyNetwork()
        self.poison, self.pretrained, self.quantize = poison, pretrained, quantize
        self.calls = 0

    def forward(self, batch: Mapping[str, Any]) -> dict[str, torch.Tensor]:
        return self.compute_losses(self.network(batch["img"]), batch)

    def compute_losses(self, outputs: Mapping[str, torch.Tensor], batch: Mapping[str, Any]) -> dict[str, torch.Tensor]:
        logits = outputs["cls_logits_s1"].mean(dim=(2, 3))
        self.calls += self.training
        bad = float("nan") if self.calls - 1 == self.poison else 1.0
        target = batch["img"].mean(dim=(1, 2, 3))
        return {"cls": (logits[:, 0] - target).square().mean(), "reg": logits[:, 1].square().mean() * bad}

    def detect(self, outputs: Mapping[str, torch.Tensor], batch: Mapping[str, Any]) -> list[Detections]:
        scores = outputs["cls_logits_s1"].mean(dim=(2, 3))[:, :1].sigmoid()
        return [
            Detections(torch.tensor([[0.0, 0, 8, 8]]), score, torch.zeros(1, dtype=torch.int64)) for score in scores
        ]


@OBJECT_REGISTRY.register
class TinyDataset:
    """`length` images of `size` pixels with noise that depends on the generator, as augmentation does."""

    def __init__(
        self, length: int = 8, classes: Sequence[str] = ("cat", "dog"), transforms: Sequence = (), size: int = 8
    ) -> None:
        self.length, self.size = length, size
        self.classes = list(classes)
        self.transforms = list(transforms)

    def __len__(self) -> int:
        return self.length

    def get(self, index: int, rng: np.random.Generator) -> dict[str, Any]:
        pixels = (rng.integers(-99, 100, (3, self.size, self.size)) + index).clip(-128, 127).astype(np.float32)
        return {
            "img": torch.from_numpy(pixels) / 128,
            "gt_bboxes": np.array([[0, 0, 8, 8]], dtype=np.float32),
            "gt_classes": np.zeros(1, dtype=np.int64),
            "img_id": index,
            "img_name": f"{index}.jpg",
        }


@OBJECT_REGISTRY.register
class ChainDetector(TinyDetector):
    """Predicts the brightness of an image, 0…1, in its first channel and half of it in the second."""

    def __init__(
        self,
        poison: int | None = None,
        pretrained: str | None = None,
        quantize: bool = False,
        *,
        batch_norm: bool = False,
        dtype: str = "int8",
    ) -> None:
        super().__init__(poison, pretrained, quantize)
        self.network = ChainNetwork(batch_norm, dtype)

    def compute_losses(self, outputs: Mapping[str, torch.Tensor], batch: Mapping[str, Any]) -> dict[str, torch.Tensor]:
        # contiguous: sums over (C, H, W) and over (H, W, C) in memory, as networks and programs leave it, differ
        logits = outputs["cls_logits_s1"].contiguous().mean(dim=(2, 3))
        target = batch["img"].contiguous().mean(dim=(1, 2, 3)) / 31
        return {"cls": (logits[:, 0] - target).square().mean(), "reg": (logits[:, 1] - target / 2).square().mean()}


@OBJECT_REGISTRY.register
class FiveBitImages(TinyDataset):
    """Images of 0…31."""

    def get(self, index: int, rng: np.random.Generator) -> dict[str, Any]:
        sample = super().get(index, rng)
        return {**sample, "img": ((sample["img"] + 1) * 16).floor().clamp(0, 31)}


@OBJECT_REGISTRY.register
class MeanScore:
    """Stands for a detection metric: the mean score."""

    def __init__(self) -> None:
        self.bound: Any = None
        self.reset()

    def bind(self, dataset: Any) -> None:
        self.bound = dataset

    def reset(self) -> None:
        self.scores: list[float] = []

    def update(self, batch: Mapping[str, Any], detections: Sequence[Detections]) -> None:
        self.scores += [float(found.scores[0]) for found in detections]

    def compute(self) -> dict[str, float]:
        mean = sum(self.scores) / len(self.scores)
        return {"mAP": mean, "AP50": mean, "AP75": mean}


@OBJECT_REGISTRY.register
class InterruptAt(Callback):
    """Presses Ctrl-C during one step, in one process."""

    def __init__(self, step: int, rank: int = 0) -> None:
        self.step, self.rank = step, rank

    def on_step_begin(self, loop) -> None:
        if loop.step == self.step and process()[0] == self.rank:
            os.kill(os.getpid(), signal.SIGINT)


def loader(length: int = 8, **more: Any) -> dict[str, Any]:
    """Return a loader config."""
    dataset = {"type": "TinyDataset", "length": length}
    return {"type": torch.utils.data.DataLoader, "dataset": dataset, "batch_size": 2, **more}


@pytest.fixture
def tiny_config(tmp_path) -> dict[str, Any]:
    """A whole run of four stages, a few milliseconds each."""
    model = {"type": "TinyDetector"}
    train, val = loader(shuffle=True), loader(4)
    callbacks = [
        {"type": "ExponentialMovingAverage", "decay": 0.9, "ramp": 2.0},
        {"type": "CosLrUpdater", "warmup_len": 1},
        {"type": "Validation", "data_loader": val},
        {"type": "Checkpoint"},
    ]
    trainer = {
        "type": "distributed_data_parallel_trainer",
        "model": model,
        "data_loader": train,
        "optimizer": {
            "type": torch.optim.SGD,
            "lr": 0.05,
            "momentum": 0.9,
            "params": {"weight": {"weight_decay": 1e-4}},
        },
        "num_epochs": 2,
        "callbacks": callbacks,
        "train_metrics": {"type": "LossShow"},
        "val_metrics": {"type": "MeanScore"},
    }
    calibrator = {"type": "Calibrator", "model": model, "num_steps": 3, "val_metrics": {"type": "MeanScore"}}
    return {
        "task_name": "tiny",
        "num_classes": 2,
        "ckpt_dir": str(tmp_path / "run"),
        "seed": 7,
        "model": model,
        "data_loader": train,
        "val_data_loader": val,
        "float_trainer": trainer,
        "calibration_trainer": {**calibrator, "callbacks": callbacks[2:]},
        "qat_trainer": {
            **trainer,
            "num_epochs": 1,
            "callbacks": [{"type": "StepDecayLrUpdater", "lr_decay_id": [1]}, *callbacks[2:]],
        },
    }


CHAIN_STAGES = {
    "float": "float",
    "qat": "qat_weights",
    "calibration": "calibration_weights",
    "qat_activations": "qat_activations",
    "qat_31": "qat",
    "int_infer": "int_infer",
}
"""Name → kind."""


@pytest.fixture
def chain_config(tiny_config) -> dict[str, Any]:
    """A run of six stages, one behind the other, for a march without scales."""
    config = copy.deepcopy(tiny_config)
    _rename(config, {"TinyDataset": "FiveBitImages", "TinyDetector": "ChainDetector"})
    config |= {"march": "gti5801", "stage_checkpoint": "last"}
    observer = {"name": "percentile", "percentile": 99.9}
    rules = {"conv2": {"weight_dtype": "int8"}}
    activation = {"observer": observer, "learn": True}
    config["qconfig"] = {"type": "QConfig", "activation": activation, "rules": rules}
    names = list(CHAIN_STAGES)
    config["stages"] = [
        {"name": name, "kind": kind, **({"starts_from": names[index - 1]} if index else {})}
        for index, (name, kind) in enumerate(CHAIN_STAGES.items())
    ]
    optimizer = {"type": torch.optim.SGD, "lr": 2e-4, "momentum": 0.9}
    for name in ("float", "qat", "qat_activations", "qat_31"):
        config[f"{name}_trainer"] = {**config["qat_trainer"], "optimizer": optimizer}
    return config


def _rename(value: Any, names: Mapping[str, str]) -> None:
    """Rename types in place, so that loaders that are one dict stay one."""
    for key, part in value.items() if isinstance(value, dict) else enumerate(value):
        if isinstance(part, (dict, list)):
            _rename(part, names)
        elif isinstance(part, str):
            value[key] = names.get(part, part)
