"""Several processes at one stage: how they join, agree, and end every step with the same state.

Gradients are averaged here, all at once after the last backward of a step, and not by torch's
``DistributedDataParallel``, which would stand in the way three times: it fixes at its construction which parameters
have gradients, while ``FreezeModule`` changes that from epoch to epoch and a fake-quant graph has parameters that get
none; its hooks make the other processes wait inside backward for one whose loss is not finite; and its sums would run
in between those of ``sync_bn``. The price is that gradients do not travel while backward still runs.
"""

import io
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import chain
from typing import Any

import torch
from torch import distributed

from hatlite.errors import QuantizationError
from hatlite.ops.processes import process, sum_over_processes
from hatlite.quantization import FakeQuantGraph
from hatlite.quantization.observer import Observer

__all__ = [
    "RUNNING_STATISTICS",
    "any_process",
    "average_gradients",
    "copy_parameters",
    "copy_state",
    "copy_statistics",
    "first_says",
    "in_turn",
    "join_processes",
    "mean_losses",
    "merge_observers",
    "merge_seen",
    "process",
    "wait_for_all",
]


RUNNING_STATISTICS = ("running_mean", "running_var")
"""Ends of the names of buffers that every batch moves on."""


@contextmanager
def join_processes(device: str | None = None) -> Iterator[tuple[int, int]]:
    """Join the processes that ``torchrun`` or ``--device-ids`` started with this one; give what :func:`process` does.

    Without torchrun's ``WORLD_SIZE``, or inside a group that the caller has made, nothing is joined or left. What lies
    on the CPU, objects among it, travels over gloo; what lies on CUDA over nccl, and ``cuda`` without a number then is
    the GPU of this process.

    Args:
        device: Of this process; None leaves it to the config, and the GPU, if there are any, is that of torchrun's
            ``LOCAL_RANK``.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1 or distributed.is_initialized():
        yield process()
        return
    gpus = torch.cuda.device_count() if torch.device(device or "cuda").type == "cuda" else 0
    if gpus:
        index = torch.device(device or "cuda").index
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")) % gpus if index is None else index)
    distributed.init_process_group("cpu:gloo,cuda:nccl" if gpus else "gloo")
    try:
        yield process()
    finally:
        distributed.destroy_process_group()


def wait_for_all() -> None:
    """Go on when every process has come here, such as after the first one has written a file."""
    any_process(False)


def any_process(*flags: bool) -> list[bool]:
    """Return of each flag whether it is true in any process. Every process must call it."""
    return (
        list(flags) if process()[1] == 1 else (sum_over_processes(torch.tensor(flags, dtype=torch.int64)) > 0).tolist()
    )


def first_says(value: Any) -> Any:
    """Return the `value` of the first process: plain values and CPU tensors. Every process must call it."""
    if process()[1] == 1:
        return value
    values = [value]
    distributed.broadcast_object_list(values)
    return values[0]


def in_turn(own: Iterator[Any], total: int) -> Iterator[Any]:
    """Yield, in the first process, what all processes give in turn: the first value of 0, of 1, …, the second of 0.

    In the others nothing is yielded, but `own` is gone through. All must call it and go to its end.

    Args:
        own: What this process gives, when it is asked for: the numbers rank, rank + count, … of `total`. It may hold
            tensors of any device; in the first process they lie on the CPU. Alone, it is yielded as it is.
        total: How many all give together.
    """
    rank, count = process()
    if count == 1:
        yield from own
        return
    for start in range(0, total, count):
        packed = _packed(next(own)) if start + rank < total else None
        everyone: list[bytes | None] = [None] * count
        distributed.gather_object(packed, None if rank else everyone)
        for one in everyone:
            if one is not None:
                yield torch.load(io.BytesIO(one), map_location="cpu", weights_only=False)


def _packed(value: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


# ------------------------------------------------------------------------------------------------------- one state


@torch.no_grad()
def copy_parameters(network: torch.nn.Module) -> None:
    """Give the parameters of every process the values that they have in the first. Every process must call it."""
    _copy(network.parameters())


@torch.no_grad()
def copy_state(model: torch.nn.Module) -> None:
    """Give parameters and buffers of every process the values that they have in the first; all must call it."""
    _copy(chain(model.parameters(), model.buffers()))


@torch.no_grad()
def copy_statistics(model: torch.nn.Module) -> None:
    """Give running statistics, the only buffers that a step moves, the values that they have in the first process.

    Constants of a fake-quant graph are functions of what all processes share and need no journey.
    """
    _copy(buffer for name, buffer in model.named_buffers() if name.endswith(RUNNING_STATISTICS))


def _copy(tensors: Iterable[torch.Tensor]) -> None:
    """Broadcast `tensors` from the first process, all of one type and device at once; alone, do not even list them."""
    if process()[1] == 1:
        return
    for group in _alike(tensors):
        flat = torch.cat([tensor.reshape(-1) for tensor in group])
        distributed.broadcast(flat, 0)
        for tensor, values in zip(group, flat.split([tensor.numel() for tensor in group]), strict=True):
            tensor.copy_(values.view(tensor.shape))


def _alike(tensors: Iterable[torch.Tensor]) -> list[list[torch.Tensor]]:
    groups: dict[Any, list[torch.Tensor]] = {}
    for tensor in tensors:
        groups.setdefault((tensor.dtype, tensor.device), []).append(tensor)
    return list(groups.values())


# --------------------------------------------------------------------------------------------------------- training


@torch.no_grad()
def average_gradients(model: torch.nn.Module) -> None:
    """Replace the gradient of every parameter by its mean over all processes, which all must call for.

    A parameter that has a gradient in some processes counts as 0 in the others; one that has none in all keeps none, so
    that an optimizer leaves it alone. Whether one has travels with the gradients.
    """
    count = process()[1]
    if count == 1:
        return
    for group in _alike([parameter for parameter in model.parameters() if parameter.requires_grad]):
        found = [parameter.grad is not None for parameter in group]
        grads = [p.grad.reshape(-1) if p.grad is not None else torch.zeros_like(p).reshape(-1) for p in group]
        flat = sum_over_processes(torch.cat([*grads, group[0].new_tensor(found)])) / count
        has = flat[-len(group) :].tolist()
        sizes = [parameter.numel() for parameter in group]
        for parameter, values, exists in zip(group, flat[: -len(group)].split(sizes), has, strict=True):
            if not exists:
                continue
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            parameter.grad.copy_(values.view(parameter.shape))


def mean_losses(losses: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return the mean over all processes of each loss, a scalar: that of the global batch. All must call it.

    Args:
        losses: By name; every process has the same names in the same order.
    """
    if process()[1] == 1:
        return dict(losses)
    means = sum_over_processes(torch.stack([loss.detach().float() for loss in losses.values()])) / process()[1]
    return dict(zip(losses, means, strict=True))


# ------------------------------------------------------------------------------------------------------ calibration


def merge_observers(graph: FakeQuantGraph) -> None:
    """Give the observers of every process what those of all processes saw, as if one process had seen it all.

    Every process must call it. The result is that of one process, to the bit, where all compute the same floats for
    the same batch: the same machine, build of torch and number of threads.

    Raises:
        QuantizationError: The processes calibrate different networks.
    """
    if process()[1] == 1:
        return
    own = {name: site.observer for name, site in graph.sites.items() if site.observer is not None}
    for name, observer in merge_seen(own).items():
        graph.sites[name].observer = observer
    graph.batches_observed = int(sum_over_processes(torch.tensor(graph.batches_observed)))


def merge_seen(own: Mapping[str, Observer]) -> dict[str, Observer]:
    """Return observers that have seen what those of the same name have in all processes, which all must call for.

    Args:
        own: Site name → observer of this process.

    Raises:
        QuantizationError: The processes have different networks.
    """
    if process()[1] == 1:
        return dict(own)
    everyone: list[Any] = [None] * process()[1]
    distributed.all_gather_object(everyone, dict(own))
    if any(list(theirs) != list(own) for theirs in everyone):
        raise QuantizationError("The processes calibrate different networks; give all of them the same config.")
    merged: dict[str, Observer] = everyone[0]
    for theirs in everyone[1:]:
        for name, observer in merged.items():
            observer.merge(theirs[name])
    return merged
