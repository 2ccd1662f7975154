import pytest
import torch

from hatlite.metrics.loss_show import LossShow
from hatlite.registry import OBJECT_REGISTRY


def test_losses_are_averaged_each_over_its_own_steps():
    metric = OBJECT_REGISTRY.build({"type": "LossShow"})
    metric.update({"cls": torch.tensor(1.0, requires_grad=True), "bbox": 4.0})
    metric.update({"cls": torch.tensor(2.0), "extra": 5})
    assert metric.compute() == {"cls": 1.5, "bbox": 4.0, "extra": 5.0}
    assert list(metric.compute()) == ["cls", "bbox", "extra"]


def test_no_graph_is_kept():
    metric = LossShow()
    metric.update({"cls": torch.tensor(1.0, requires_grad=True) * 2})
    assert not metric._sums["cls"].requires_grad


def test_small_losses_do_not_drown():
    metric = LossShow()
    for loss in [1e8] + [0.25] * 1000:
        metric.update({"cls": torch.tensor(loss)})
    assert metric.compute()["cls"] * 1001 == pytest.approx(1e8 + 250, abs=1e-3)


def test_reset_starts_anew():
    metric = LossShow()
    metric.update({"cls": 3.0})
    metric.reset()
    assert metric.compute() == {}
