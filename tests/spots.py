"""A detector that needs no training: it finds the bright cells of a grid, in float and on integers alike."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import nn

from hatlite.engine import Run, run_stage
from hatlite.engine.checkpoint import describe, save_checkpoint
from hatlite.nn import DeQuantStub, QuantStub
from hatlite.registry import OBJECT_REGISTRY
from hatlite.structures import Detections

CELL = 4


class SpotNetwork(nn.Module):
    """One logit per cell of 4×4 pixels: the mean of what lies in it."""

    def __init__(self) -> None:
        super().__init__()
        self.quant, self.dequant = QuantStub(scale=1 / 128), DeQuantStub("int16")
        self.mean = nn.Conv2d(3, 1, CELL, stride=CELL)
        nn.init.constant_(self.mean.weight, 1 / (3 * CELL * CELL))
        nn.init.zeros_(self.mean.bias)

    def forward(self, img: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"cls_logits_s4": self.dequant(self.mean(self.quant(img)))}


@OBJECT_REGISTRY.register
class SpotDetector(nn.Module):
    """Boxes are the cells brighter than grey, moved to the original picture by the inverse of the matrix."""

    def __init__(self) -> None:
        super().__init__()
        self.network = SpotNetwork()

    def forward(self, batch: Mapping[str, Any]) -> list[Detections]:
        return self.detect(self.network(batch["img"]), batch)

    def compute_losses(self, outputs: Mapping[str, torch.Tensor], batch: Mapping[str, Any]) -> dict[str, torch.Tensor]:
        return {"cls": outputs["cls_logits_s4"].square().mean()}

    def detect(self, outputs: Mapping[str, torch.Tensor], batch: Mapping[str, Any]) -> list[Detections]:
        pairs = zip(outputs["cls_logits_s4"][:, 0], batch["matrix"], strict=True)
        return [self._spots(logits, torch.from_numpy(np.linalg.inv(matrix))) for logits, matrix in pairs]

    def _spots(self, logits: torch.Tensor, to_original: torch.Tensor) -> Detections:
        rows, columns = torch.nonzero(logits > 0.25, as_tuple=True)
        corners = torch.stack([columns, rows, columns + 1, rows + 1], dim=1).double().reshape(-1, 2, 2) * CELL
        boxes = corners * to_original[[0, 1], [0, 1]] + to_original[:2, 2]
        scores, order = logits[rows, columns].sigmoid().sort(descending=True, stable=True)
        return Detections(boxes.reshape(-1, 4).float()[order], scores, torch.ones(len(scores), dtype=torch.int64))


def spot_picture(x: int, y: int) -> np.ndarray:
    """Return (32, 48, 3) uint8: black, with a white spot of 8×8 pixels whose corner is (x, y)."""
    img = np.zeros((32, 48, 3), np.uint8)
    img[y : y + 8, x : x + 8] = 255
    return img


def spot_config(folder: Path) -> dict[str, Any]:
    """Return the config of a run over three pictures, which are written to `folder`; the network sees them halved."""
    images, boxes = [], []
    for i, (x, y) in enumerate([(8, 8), (16, 0), (40, 24)], 1):
        cv2.imwrite(str(folder / f"{i}.png"), spot_picture(x, y))
        images.append({"id": i, "file_name": f"{i}.png", "height": 32, "width": 48})
        boxes.append({"id": i, "image_id": i, "category_id": 2, "bbox": [x, y, 8, 8]})
    names = [{"id": 1, "name": "hole"}, {"id": 2, "name": "spot"}]
    annotations = folder / "annotations.json"
    annotations.write_text(json.dumps({"images": images, "annotations": boxes, "categories": names}))
    transforms = [
        {"type": "Resize", "img_scale": (16, 24)},
        {"type": "Pad", "size": (24, 24), "value": 0},
        {"type": "ToTensor"},
        {"type": "Normalize", "mean": 128.0, "std": 128.0},
    ]
    dataset = {"type": "CocoFromImage", "img_path": str(folder), "ann_file": str(annotations), "transforms": transforms}
    loader = {"type": torch.utils.data.DataLoader, "dataset": dataset}
    return {
        "task_name": "spots",
        "num_classes": 2,
        "ckpt_dir": str(folder / "run"),
        "model": {"type": "SpotDetector"},
        "data_loader": loader,
        "val_data_loader": loader,
        "val_metrics": {"type": "COCODetectionMetric"},
        "calibration_trainer": {
            "type": "Calibrator",
            "model": {"type": "SpotDetector"},
            "num_steps": 3,
            "callbacks": [{"type": "Validation", "data_loader": loader}, {"type": "Checkpoint"}],
            "val_metrics": {"type": "COCODetectionMetric"},
        },
    }


def spot_run(folder: Path, last: str = "int_infer") -> Run:
    """Return a run whose stages up to `last` are done: float is written as it is, the others run."""
    run = Run(spot_config(folder))
    run.classes = ("hole", "spot")
    model = SpotDetector()
    state = {**describe(model, run.info("float")), "state_dict": model.state_dict()}
    save_checkpoint({**state, "metrics": {}, "epoch": 1, "num_epochs": 1}, run.checkpoint("float"))
    for stage in () if last == "float" else ("calibration", "int_infer"):
        run_stage(run, stage)
    return run
