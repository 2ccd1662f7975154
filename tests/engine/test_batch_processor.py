import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hatlite.engine import MultiBatchProcessor
from hatlite.errors import ConfigError, TrainingError
from hatlite.quantization import QConfig, prepare
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
    return processor(model, [{"img_name": ["1.jpg", "2.jpg"]}], optimizer, step=12)


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


class Regression(torch.nn.Module):
    """Mean square of a linear layer; `seen` are the dtypes that it computed in."""

    def __init__(self, dtype=torch.float64) -> None:
        super().__init__()
        self.linear = torch.nn.Linear(3, 1, dtype=dtype)
        torch.nn.init.constant_(self.linear.weight, 0.5)
        torch.nn.init.constant_(self.linear.bias, 0.25)
        self.seen = []

    def forward(self, batch):
        y = self.linear(batch["x"])
        self.seen.append(y.dtype)
        return {"l2": (y[:, 0].float() if y.dtype != torch.float64 else y[:, 0]).square().mean()}


def trained(processor, batches, dtype=torch.float64):
    model = Regression(dtype)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.125, momentum=0.5)
    losses = [processor(model, group, optimizer, step=i) for i, group in enumerate(batches)]
    return model, losses


POWERS = st.sampled_from([1, 2, 4])  # with whole numbers beside them nothing is rounded, in whatever order it is summed


@given(POWERS, POWERS, st.integers(0, 2**16))
def test_an_update_from_several_batches_is_that_of_one_large_batch(count, size, seed):
    x = torch.randint(-2, 3, (2, count * size, 3), generator=torch.Generator().manual_seed(seed)).double()
    processor = MultiBatchProcessor(grad_accumulation_step=count)
    small, small_losses = trained(processor, [[{"x": part} for part in step.split(size)] for step in x])
    large, large_losses = trained(MultiBatchProcessor(), [[{"x": step}] for step in x])
    assert torch.equal(small.linear.weight, large.linear.weight)
    assert small_losses == large_losses


def test_two_batches_by_hand():
    model = Line()
    model.forward = lambda batch: {"a": batch["factor"] * model.w}
    losses = MultiBatchProcessor(grad_accumulation_step=2)(
        model, [{"factor": 2.0}, {"factor": 4.0}], torch.optim.SGD(model.parameters(), lr=0.1), 0
    )
    assert losses == {"a": torch.tensor(3.0)}
    assert model.w.item() == pytest.approx(1 - 0.1 * 3)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_mixed_precision_computes_in_half_and_keeps_weights_and_losses_whole(dtype):
    batches = [[{"x": torch.randn(4, 3, generator=torch.Generator().manual_seed(1))}]] * 3
    scaler = torch.amp.GradScaler("cpu", init_scale=64.0, enabled=dtype == "float16")
    processor = MultiBatchProcessor(enable_amp=True, amp_dtype=dtype, grad_scaler=scaler, clip_grad_norm=9.0)
    half, losses = trained(processor, batches, torch.float32)
    whole, _ = trained(MultiBatchProcessor(), batches, torch.float32)
    assert set(half.seen) == {getattr(torch, dtype)}
    assert half.linear.weight.dtype == half.linear.weight.grad.dtype == losses[0]["l2"].dtype == torch.float32
    assert not torch.equal(half.linear.weight, whole.linear.weight)
    torch.testing.assert_close(half.linear.weight, whole.linear.weight, rtol=0.05, atol=0.05)


def test_in_qat_mixed_precision_changes_gradients_and_no_loss(tiny_config):
    graph = OBJECT_REGISTRY.build(tiny_config["model"])
    batch = {"img": torch.randint(-128, 128, (4, 3, 8, 8)) / 128}
    graph.network = prepare(graph.network, QConfig(), batch["img"])
    with torch.no_grad():
        graph.network(batch["img"])
    graph.network.finish_calibration()
    graph.train()
    losses, gradients = [], []
    for enabled in (False, True):
        processor = MultiBatchProcessor(enable_amp=enabled)
        losses.append(processor(graph, [batch], torch.optim.SGD(graph.parameters(), lr=0.0), 0))
        gradients.append(graph.network.conv.weight.grad.clone())
    assert losses[0] == losses[1]
    whole, half = gradients
    assert half.dtype == torch.float32 and not torch.equal(half, whole)
    torch.testing.assert_close(half, whole, rtol=0, atol=2.0**-6 * float(whole.abs().max()))


def test_the_factor_of_float16_halves_where_a_step_overflows_and_the_weights_stay():
    processor = MultiBatchProcessor(
        enable_amp=True, amp_dtype="float16", grad_scaler=torch.amp.GradScaler("cpu", init_scale=2.0**126)
    )
    model = Line()
    step(processor, model)
    assert model.w.item() == 1
    assert processor.state_dict()["scale"] == 2.0**125


def test_the_factor_of_float16_travels_in_the_state():
    first = MultiBatchProcessor(
        enable_amp=True, amp_dtype="float16", grad_scaler=torch.amp.GradScaler("cpu", init_scale=8.0)
    )
    step(first, Line())
    second = MultiBatchProcessor(enable_amp=True, amp_dtype="float16")
    second.load_state_dict(first.state_dict())
    assert second.state_dict() == first.state_dict()
    assert second.state_dict()["scale"] == 8.0
    second.load_state_dict({})  # of a run without a factor
    assert second.state_dict()["scale"] == 8.0
    assert MultiBatchProcessor(enable_amp=True).state_dict() == {}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"amp_dtype": "int8"}, "amp_dtype is 'int8'; expected 'bfloat16' or 'float16'"),
        ({"grad_accumulation_step": 0}, "grad_accumulation_step is 0; expected 1 batch or more"),
    ],
)
def test_options_out_of_range_are_refused(options, message):
    with pytest.raises(ConfigError, match=f"MultiBatchProcessor: {message}"):
        MultiBatchProcessor(**options)


def test_a_collector_may_return_a_list():
    model = Line()
    step(MultiBatchProcessor(loss_collector=lambda losses: [losses["b"]]), model)
    assert model.w.item() == pytest.approx(1 - 0.1 * 4)


def test_transforms_of_batches_belong_to_the_data_set():
    said = "MultiBatchProcessor has no key 'batch_transforms': put them into the transforms of the data sets, where"
    with pytest.raises(ConfigError, match=said):
        OBJECT_REGISTRY.build({"type": "MultiBatchProcessor", "batch_transforms": [], "delay_sync": True})
