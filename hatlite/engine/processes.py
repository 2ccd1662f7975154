"""Several processes at one stage: they share out batches and end with one set of weights and statistics for all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import distributed

from hatlite.errors import QuantizationError
from hatlite.quantization import FakeQuantGraph

__all__ = ["copy_parameters", "join_processes", "merge_observers", "process"]


def process() -> tuple[int, int]:
    """Return the number of this process, from 0, and how many there are; (0, 1) without a process group."""
    if not (distributed.is_available() and distributed.is_initialized()):
        return 0, 1
    return distributed.get_rank(), distributed.get_world_size()


@contextmanager
def join_processes() -> Iterator[tuple[int, int]]:
    """Join the processes that ``torchrun`` started with this one, and give what :func:`process` returns.

    Without torchrun's ``WORLD_SIZE``, or inside a group that the caller has made, nothing is joined or left. What the
    processes exchange is small and lies on the CPU, hence gloo.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1 or distributed.is_initialized():
        yield process()
        return
    distributed.init_process_group("gloo")
    try:
        yield process()
    finally:
        distributed.destroy_process_group()


@torch.no_grad()
def copy_parameters(network: torch.nn.Module) -> None:
    """Give the parameters of every process the values that they have in the first. Every process must call it."""
    if process()[1] == 1:
        return
    values = [{name: value.cpu() for name, value in network.named_parameters()}]
    distributed.broadcast_object_list(values)
    for name, value in network.named_parameters():
        value.copy_(values[0][name])


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
    everyone: list[Any] = [None] * process()[1]
    distributed.all_gather_object(everyone, (own, graph.batches_observed))
    if any(list(theirs) != list(own) for theirs, _ in everyone):
        raise QuantizationError("The processes calibrate different networks; give all of them the same config.")
    graph.batches_observed = sum(batches for _, batches in everyone)
    for name, observer in everyone[0][0].items():
        for theirs, _ in everyone[1:]:
            observer.merge(theirs[name])
        graph.sites[name].observer = observer
