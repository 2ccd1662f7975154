"""A file with decoding inside finds in drawn pictures what ``predict.py`` finds: evaluation, then ONNX Runtime."""

import json

import cv2
import numpy as np
import onnxruntime
import pytest
import torch

from hatlite import engine
from hatlite.data.datasets.synthetic import draw_picture
from hatlite.engine import Run
from hatlite.engine.checkpoint import describe, save_checkpoint
from hatlite.engine.converters import lower_detector
from hatlite.engine.parts import quantize_random
from hatlite.program import save
from hatlite.registry import OBJECT_REGISTRY

IMAGES, PICTURE, NETWORK, CLASSES = 20, (96, 128), (64, 64), ("disc", "other")
PIXELS, SCORE = 0.01, 1e-4
ANCHORS = {"type": "SSDAnchorGenerator", "input_size": 64, "strides": [8, 16, 32], "ratios": [[2], [2, 3], [2]]}
MODEL = {
    "type": "SSD",
    "backbone": {"type": "efficientnet", "widths": [8] * 8, "depth_coefficient": 0.3},
    "neck": {"type": "FPN", "out_strides": [8, 16, 32], "out_channels": 8},
    "head": {"type": "SSDHead", "num_classes": 2, "anchor_generator": ANCHORS, "int16_output": True},
    "targets": {"type": "MaxIoUAssigner", "pos_iou_thr": 0.5, "neg_iou_thr": 0.5},
    "loss_cls": {"type": "CrossEntropyLossV2", "use_sigmoid": False, "loss_name": "cls"},
    "loss_reg": {"type": "SmoothL1Loss", "loss_name": "reg"},
    "post_process": {"type": "SSDDecoder", "test_cfg": {"score_thr": 0.3, "max_per_img": 40}},
}
"""Its weights are random: many anchors are worth a third of their probability, in every picture."""


class Recorder:
    """A metric that keeps what it is shown."""

    def __init__(self):
        self.seen = []

    def bind(self, dataset):
        pass

    def reset(self):
        self.seen.clear()

    def update(self, batch, detections):
        self.seen.append((batch, detections))

    def compute(self):
        return {}


def drawn(folder):
    """Draw pictures into `folder`; return the file of their annotations."""
    rng, images, boxes = np.random.default_rng(0), [], []
    for number in range(1, IMAGES + 1):
        picture, shapes = draw_picture(rng, PICTURE)
        cv2.imwrite(str(folder / f"{number}.png"), picture[:, :, ::-1])
        images.append({"id": number, "file_name": f"{number}.png", "height": PICTURE[0], "width": PICTURE[1]})
        for shape in shapes:
            x1, y1, x2, y2 = map(float, shape.box)
            boxes.append(
                {"id": len(boxes) + 1, "image_id": number, "category_id": 1, "bbox": [x1, y1, x2 - x1, y2 - y1]}
            )
    categories = [{"id": number, "name": name} for number, name in enumerate(CLASSES, 1)]
    path = folder / "annotations.json"
    path.write_text(json.dumps({"images": images, "annotations": boxes, "categories": categories}))
    return path


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Return a run over drawn pictures with a float checkpoint and a program, whose size is not the pictures'."""
    folder = tmp_path_factory.mktemp("drawn")
    transforms = [
        {"type": "Resize", "img_scale": NETWORK, "keep_ratio": False},
        {"type": "ToTensor"},
        {"type": "Normalize", "mean": 128.0, "std": 128.0},
    ]
    dataset = {"type": "CocoFromImage", "img_path": str(folder), "ann_file": str(drawn(folder))}
    loader = {"type": torch.utils.data.DataLoader, "dataset": {**dataset, "transforms": transforms}, "batch_size": 4}
    run = Run(
        {
            "task_name": "drawn",
            "march": "tidl",
            "num_classes": 2,
            "ckpt_dir": str(folder / "run"),
            "model": MODEL,
            "val_data_loader": loader,
            "val_metrics": {"type": "COCODetectionMetric"},
            "deploy_inputs": {"img": torch.zeros(1, 3, *NETWORK)},
            "calibration_trainer": {"type": "Calibrator", "model": MODEL, "num_steps": 1},
        }
    )
    torch.manual_seed(0)
    model = OBJECT_REGISTRY.build(MODEL)
    state = {**describe(model, run.info("float")), "state_dict": model.state_dict()}
    save_checkpoint({**state, "metrics": {}, "epoch": 1, "num_epochs": 1}, run.checkpoint("float"))
    quantize_random(run, model)
    save(lower_detector(run, model), run.program())
    return run


@pytest.mark.parametrize("stage", ["float", "int_infer"])
def test_the_file_finds_what_evaluation_finds(run, stage, tmp_path):
    out, recorder = tmp_path / "detect.onnx", Recorder()
    engine.predict_stage(run, stage, beside=[recorder])
    if stage == "float":
        engine.export_float(run, out, detect=True)
    else:
        engine.export_program(run, engine.run_program(run), out, "golden", detect=True)
    session = onnxruntime.InferenceSession(out, providers=["CPUExecutionProvider"])
    objects = images = 0
    for batch, detections in recorder.seen:
        for found, *rows in zip(detections, *session.run(None, {"img": batch["img"].numpy()}), strict=True):
            objects, images = objects + len(found), images + 1
            boxes, scores, labels = (row[rows[2] >= 0] for row in rows)
            scale = np.array(PICTURE[::-1] * 2) / np.array(NETWORK[::-1] * 2)
            np.testing.assert_array_equal(labels, found.labels.numpy())
            np.testing.assert_allclose(scores, found.scores.numpy(), rtol=0, atol=SCORE)
            np.testing.assert_allclose(boxes * scale, found.boxes.numpy(), rtol=0, atol=PIXELS)
    assert images == IMAGES and objects > 5 * IMAGES
