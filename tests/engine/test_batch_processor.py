import pytest
import torch

from hatlite.engine import MultiBatchProcessor
from hatlite.errors import TrainingError
from hatlite.registry import OBJECT_REGISTRY


class Line(torch.nn.Module):
    """Loss a = 3w, loss b = `b` · w."""

    def __init__(self, b: float = 4.0) -> None:
        super().__init__()
        self.w = torch.nn.Parameter(torch.tensor(1.0))
        self.b = b

    def forward(self, batch):
        return {"a": 3 * self.w, "b": self.b * self.w}


def step(processor, model):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    return processor(model, {"img_name": ["1.jpg", "2.jpg"]}, optimizer, step=12)


def test_one_step_follows_the_gradient_of_the_sum():
    model = Line()
    losses = step(MultiBatchProcessor(), model)
    assert losses == {"a": torch.tensor(3.0), "b": torch.tensor(4.0)}
    assert not losses["a"].requires_grad
    assert model.w.item() == pytest.approx(1 - 0.1 * 7)


def test_the_collector_chooses_what_is_summed():
    model = Line()
    losses = step(MultiBatchProcessor(loss_collector=lambda losses: {"a": losses["a"]}), model)
    assert set(losses) == {"a", "b"}
    assert model.w.item() == pytest.approx(1 - 0.1 * 3)


def test_gradients_are_clipped_to_a_norm():
    model = Line()
    step(MultiBatchProcessor(clip_grad_norm=2.0), model)
    assert model.w.item() == pytest.approx(1 - 0.1 * 2)


def test_without_update_the_weights_stay():
    model = Line()
    step(MultiBatchProcessor(need_grad_update=False), model)
    assert model.w.item() == 1


@pytest.mark.parametrize("value", ["nan", "inf"])
def test_a_loss_that_is_not_finite_stops_with_its_name_the_step_and_the_images(value):
    model = Line(float(value))
    with pytest.raises(
        TrainingError, match=rf"At step 12 loss 'b' is {value}; .*\n  Images of the batch: 1.jpg, 2.jpg."
    ):
        step(MultiBatchProcessor(), model)
    assert model.w.item() == 1


def test_losses_that_overflow_together_are_told_too():
    model = Line(3.4e38)
    model.forward = lambda batch: {"a": model.w * 3.4e38, "b": model.w * 3.4e38}
    with pytest.raises(TrainingError, match="the sum of the losses overflowed"):
        step(MultiBatchProcessor(), model)


def test_the_basic_processor_is_the_same():
    assert OBJECT_REGISTRY.get("BasicBatchProcessor") is MultiBatchProcessor
