"""Several processes in one test: forked from it, joined over gloo, ended with it."""

import multiprocessing
import tempfile
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import distributed


def in_processes(count: int, function: Callable[..., Any], *args: Any) -> list[Any]:
    """Return what ``function(rank, *args)`` returns in each of `count` processes of one group; arrays, no tensors.

    Tensors would travel as files that live no longer than their process; hand them out as lists or arrays.
    """
    with tempfile.TemporaryDirectory() as folder:
        return forked(count, _joined, f"file://{Path(folder) / 'store'}", count, function, args)


def forked(count: int, function: Callable[..., Any], *args: Any) -> list[Any]:
    """Return what ``function(rank, *args)`` returns in each of `count` processes that know nothing of each other."""
    context = multiprocessing.get_context("fork")  # the test's own modules and fixtures come along
    running = []
    for rank in range(count):
        ours, theirs = context.Pipe(duplex=False)
        process = context.Process(target=_member, args=(theirs, rank, function, args))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # newer Pythons warn of threads, of which one is used
            process.start()
        theirs.close()
        running.append((process, ours))
    results = [_receive(ours) for _, ours in running]
    for process, _ in running:
        if any(not good for good, _ in results):
            process.kill()
        process.join()
    for good, result in results:
        assert good, result
    return [result for _, result in results]


def _receive(ours: Any) -> tuple[bool, Any]:
    if not ours.poll(120):
        return False, "a process did not answer"
    try:
        return ours.recv()
    except EOFError:
        return False, "a process died"


def _member(pipe: Any, rank: int, function: Callable[..., Any], args: tuple) -> None:
    try:
        torch.set_num_threads(1)
        pipe.send((True, function(rank, *args)))
    except BaseException:
        pipe.send((False, traceback.format_exc()))


def _joined(rank: int, store: str, count: int, function: Callable[..., Any], args: tuple) -> Any:
    distributed.init_process_group("gloo", init_method=store, rank=rank, world_size=count)
    result = function(rank, *args)
    distributed.destroy_process_group()
    return result
