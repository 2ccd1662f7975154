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
    context = multiprocessing.get_context("fork")  # the test's own modules and fixtures come along
    with tempfile.TemporaryDirectory() as folder:
        running = []
        for rank in range(count):
            ours, theirs = context.Pipe(duplex=False)
            process = context.Process(target=_member, args=(theirs, folder, rank, count, function, args), daemon=True)
            with warnings.catch_warnings():
                warnings.simplefilter(
                    "ignore", DeprecationWarning
                )  # newer Pythons warn of threads, of which one is used
                process.start()
            theirs.close()
            running.append((process, ours))
        results = [_receive(process, ours) for process, ours in running]
        for process, _ in running:
            process.kill() if any(not good for good, _ in results) else process.join(60)
    for good, result in results:
        assert good, result
    return [result for _, result in results]


def _receive(process: Any, ours: Any) -> tuple[bool, Any]:
    if not ours.poll(120):
        return False, "a process did not answer"
    try:
        return ours.recv()
    except EOFError:
        return False, "a process died"


def _member(pipe: Any, folder: str, rank: int, count: int, function: Callable[..., Any], args: tuple) -> None:
    try:
        torch.set_num_threads(1)
        store = f"file://{Path(folder) / 'store'}"
        distributed.init_process_group("gloo", init_method=store, rank=rank, world_size=count)
        pipe.send((True, function(rank, *args)))
        distributed.destroy_process_group()
    except BaseException:
        pipe.send((False, traceback.format_exc()))
