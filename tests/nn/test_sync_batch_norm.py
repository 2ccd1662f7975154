"""Batch norm over the joined batch: values, gradients and running statistics are those of one process."""

import numpy as np
import pytest
import torch
from process_groups import in_processes
from torch import nn

from hatlite.graph import capture
from hatlite.nn import SyncBatchNorm2d, conv_bn
from hatlite.nn.sync_batch_norm import batch_moments, share_batch_statistics

OPTIONS = [{}, {"affine": False}, {"momentum": None}, {"track_running_stats": False}]


def joined(dtype=torch.float64, size=5):
    return torch.randn(size, 3, 4, 2, dtype=dtype, generator=torch.Generator().manual_seed(0)) * 3 + 7


def norm_of(options, kind=SyncBatchNorm2d, dtype=torch.float64):
    norm = kind(3, **options).to(dtype)
    if norm.affine:
        nn.init.uniform_(norm.weight, 0.5, 2.0, generator=torch.Generator().manual_seed(1))
        nn.init.uniform_(norm.bias, -1.0, 1.0, generator=torch.Generator().manual_seed(2))
    return norm


def pass_through(norm, x):
    """Two batches forward, the second one backward; all that can be compared, as arrays."""
    with torch.no_grad():
        norm(x * 0.5 - 1)
    x = x.clone().requires_grad_()
    y = norm(x)
    (y.sin() * torch.arange(y[0].numel(), dtype=y.dtype).view_as(y[0])).sum().backward()
    grads = [x.grad, *(p.grad for p in norm.parameters())]
    return [value.detach().numpy() for value in (y, *grads, *norm.buffers())]


def shares(rank, options, dtype):
    whole = joined(dtype)
    return pass_through(norm_of(options, dtype=dtype), whole[:2] if rank == 0 else whole[2:])  # of different sizes


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_two_processes_are_one_with_the_joined_batch(options):
    y, dx, *rest = pass_through(norm_of(options, nn.BatchNorm2d), joined())
    first, second = in_processes(2, shares, options, torch.float64)
    np.testing.assert_allclose(np.concatenate([first[0], second[0]]), y, rtol=0, atol=1e-12)
    np.testing.assert_allclose(np.concatenate([first[1], second[1]]), dx, rtol=0, atol=1e-10)
    parameters = 2 if options.get("affine", True) else 0
    for mine, other, alone in zip(first[2:], second[2:], rest, strict=True):
        if parameters:  # gradients of weight and bias add up
            parameters -= 1
            np.testing.assert_allclose(mine + other, alone, rtol=1e-12)
        else:
            np.testing.assert_array_equal(mine, other)
            np.testing.assert_allclose(mine, alone, rtol=1e-12)


def test_in_float32_a_large_mean_costs_no_precision():
    first, second = in_processes(2, large_mean)
    exact = nn.BatchNorm2d(3, affine=False).double()(joined() + 1000)
    np.testing.assert_allclose(np.concatenate([first, second]), exact.numpy(), atol=2e-4)


def large_mean(rank):
    whole = (joined() + 1000).float()
    return norm_of({"affine": False}, dtype=torch.float32)(whole[:2] if rank == 0 else whole[2:]).numpy()


def own_gradient(rank):
    """gradcheck of the sum over both processes with respect to both inputs, each of which holds half of them."""
    norm = norm_of({})

    def loss(whole):
        return norm(whole[:1] if rank == 0 else whole[1:]).pow(3).sum()

    whole = joined(size=2).requires_grad_()
    (own,) = torch.autograd.grad(loss(whole), whole)
    step, numeric = 1e-6, torch.zeros_like(whole)
    for place in range(whole.numel()):
        moved = [torch.tensor(whole.detach().numpy()) for _ in range(2)]
        moved[0].view(-1)[place] += step
        moved[1].view(-1)[place] -= step
        numeric.view(-1)[place] = (loss(moved[0]) - loss(moved[1])).item() / (2 * step)
    return own.numpy(), numeric.numpy()


def test_the_gradient_is_that_of_the_sum_of_all_losses():
    (first, differences), (second, others) = in_processes(2, own_gradient)
    np.testing.assert_allclose(first + second, differences + others, atol=1e-6)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_alone_it_is_batch_norm_to_the_bit(options):
    for own, theirs in zip(
        pass_through(norm_of(options), joined()), pass_through(norm_of(options, nn.BatchNorm2d), joined()), strict=True
    ):
        np.testing.assert_array_equal(own, theirs)


def test_half_precision_keeps_its_type():
    (values, kind), _ = in_processes(2, half)
    assert kind == "torch.bfloat16"
    np.testing.assert_allclose(
        values, norm_of({}, nn.BatchNorm2d, torch.float32)(joined().float())[:2].detach(), atol=0.05
    )


def half(rank):
    norm = norm_of({}, dtype=torch.float32)
    whole = joined().bfloat16()
    y = norm((whole[:2] if rank == 0 else whole[2:]).requires_grad_())
    y.float().sum().backward()
    return y.detach().float().numpy(), str(y.dtype)


def test_conversion_keeps_modules_and_their_names():
    model = nn.Sequential(conv_bn(3, 4), conv_bn(4, 4))
    before, norm = model.state_dict(), model[0].bn
    share_batch_statistics(model)
    assert model[0].bn is norm and type(norm) is SyncBatchNorm2d and isinstance(norm, nn.BatchNorm2d)
    assert list(model.state_dict()) == list(before)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.block = conv_bn(3, 4)

    def forward(self, img):
        return {"y_s1": self.block(img)}


def test_capture_takes_it_as_one_call():
    net = Net()
    share_batch_statistics(net)
    assert [type(call.module) for call in capture(net).calls] == [nn.Conv2d, SyncBatchNorm2d]


def moments(rank):
    x = joined(torch.float32)
    own = x[:2] if rank == 0 else x[2:]
    return [[value.numpy() for value in batch_moments(kind(3), own)] for kind in (SyncBatchNorm2d, nn.BatchNorm2d)]


def test_moments_are_those_of_whom_the_norm_counts():
    (shared, own), (others, _) = in_processes(2, moments)
    whole = joined(torch.float32)
    for found, other, expected in zip(shared, others, (whole.mean((0, 2, 3)), whole.var((0, 2, 3))), strict=True):
        np.testing.assert_array_equal(found, other)
        np.testing.assert_allclose(found, expected, rtol=1e-6)
    np.testing.assert_allclose(own[0], whole[:2].mean((0, 2, 3)), rtol=1e-6)


def single_values(rank):
    own = joined(torch.float32)[rank : rank + 1, :, :1, :1]
    assert batch_moments(nn.BatchNorm2d(3), own) is None
    return [value.numpy() for value in batch_moments(SyncBatchNorm2d(3), own)]


def test_one_value_per_channel_has_no_moments_unless_another_process_has_one_too():
    whole = joined(torch.float32)[:2, :, :1, :1]
    for mean, variance in in_processes(2, single_values):
        np.testing.assert_allclose(mean, whole.mean((0, 2, 3)), rtol=1e-6)
        np.testing.assert_allclose(variance, whole.var((0, 2, 3)), rtol=1e-6)
    assert batch_moments(SyncBatchNorm2d(3), whole[:1]) is None, "alone it is a batch norm like any other"
