"""RetinaNet: every anchor counts, those between the thresholds excepted; and equal integers on the march."""

import math

import numpy as np
import pytest
import torch

from hatlite.executor import Executor
from hatlite.lowering import lower
from hatlite.march import get_march
from hatlite.quantization import QConfig, prepare
from hatlite.registry import OBJECT_REGISTRY


def build(cfg):
    torch.manual_seed(0)
    return OBJECT_REGISTRY.build(cfg, path="['model']")


def test_class_loss_by_hand(small_retinanet, batch_of):
    detector = build(small_retinanet())
    batch = batch_of([[[8, 8, 40, 40]]], [[1]])
    anchors = detector.network.head.anchor_generator.anchors([(8, 8), (4, 4), (2, 2)])
    targets = detector.targets(anchors, batch["gt_bboxes"], batch["gt_classes"])
    positives, looked_at = int(targets.positive.sum()), int(targets.class_weights.sum())
    assert 0 < positives < looked_at < len(anchors)
    outputs = {}
    for stride in (8, 16, 32):
        outputs[f"cls_logits_s{stride}"] = torch.zeros(1, 6 * 3, 64 // stride, 64 // stride)
        outputs[f"bbox_regression_s{stride}"] = torch.zeros(1, 6 * 4, 64 // stride, 64 // stride)
    # At logit 0 a target costs 0.25 · 0.25 · log 2, another 0.75 · 0.25 · log 2.
    logits = looked_at * 3
    expected = (0.25 * positives + 0.75 * (logits - positives)) * 0.25 * math.log(2) / positives
    assert detector.compute_losses(outputs, batch)["cls"].item() == pytest.approx(expected, rel=1e-5)


def test_integers_are_equal_on_the_march(small_retinanet):
    def pixels(count, seed):
        return torch.randint(-128, 128, (count, 3, 64, 64), generator=torch.Generator().manual_seed(seed)) / 128

    graph = prepare(build(small_retinanet()).network, QConfig(), pixels(1, 0))
    with torch.no_grad():
        graph(pixels(2, 1))
        graph.finish_calibration()
        img = pixels(2, 2)
        expected = graph.integers(img)
    integers = (img * 128).permute(0, 2, 3, 1).contiguous().numpy().astype(np.int8)
    got = Executor(lower(graph, get_march("bayes-sim")), "reference").run({"img": integers}, keep="all")
    assert sum(int((got[name] != q.permute(0, 2, 3, 1).numpy()).sum()) for name, q in expected.items()) == 0
