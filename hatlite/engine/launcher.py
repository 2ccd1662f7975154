"""How several processes start: torch's own launcher, in this program or around it.

``--device-ids 0,1`` starts the tool anew, once per id, under torch's elastic agent; ``torchrun`` does the same from
outside, on several nodes too. Either way the processes find each other by the environment that torch's launcher sets,
so that the tool does one thing in both cases: it joins. Of several :class:`~hatlite.engine.nodes.Nodes`, on each of
which this program is started, the agents meet at node 0.
"""

import logging
import os
import signal
import socket
import sys
import tempfile
import threading
import time
import traceback
from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import distributed
from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError, ProcessFailure, get_error_handler
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from hatlite import log
from hatlite.command import INTERRUPTED, USER_ERROR
from hatlite.engine.device import resolve_device
from hatlite.engine.nodes import Nodes, split_url
from hatlite.engine.processes import join_processes
from hatlite.errors import HatliteError, LaunchError, OutputError
from hatlite.files import whole_file

__all__ = ["Place", "launch"]

OWN_RUN = "hatlite-"
"""Start of the run id by which a process knows that this program, and not torchrun, started it."""
TORCHRUN = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
"""What torch's launcher tells every process, beside ``LOCAL_RANK``."""
ERROR_FILE = "TORCHELASTIC_ERROR_FILE"
"""Where torch's launcher looks for what went wrong in a process."""
MEETING = 600
"""Seconds that nodes wait for one another."""
PATIENCE = 600
"""Seconds that processes have to finish their step and save it after Ctrl-C."""
ALONE = Nodes()
LOST = "LaunchError: The connection to another process broke"
"""Begins what a process says whose partner is gone; the reason is the partner's."""


@dataclass(frozen=True)
class Place:
    """Where one process works.

    Attributes:
        device: For :class:`~hatlite.engine.run.Run`; None leaves it to the config.
        flags: The words of the command line that say so, for the commands that messages print.
        rank: Number of the process, from 0; the first one reports for all.
    """

    device: str | None = None
    flags: tuple[str, ...] = ()
    rank: int = 0


def launch(args: Namespace, work: Callable[[Place], Any], nodes: Nodes | None = None) -> int | None:
    """Do `work` in this process, in those of ``torchrun``, or in one for each of ``--device-ids``.

    Args:
        args: ``device``, ``device_ids``, ``launcher``, ``dist_url`` and ``debug`` of a tool's command line.
        work: What is to be done; it is called in every process, inside their group.
        nodes: On which `args.device_ids` are started, each by its own call of this; None is this one alone, or those
            of torchrun.

    Returns:
        The tool's exit code: of several processes that of the first to fail, whose message is printed; None is 0.

    Raises:
        LaunchError: The flags contradict each other, the machine or the environment.
    """
    ids = _device_ids(args.device_ids)
    joined = all(name in os.environ for name in TORCHRUN) and (nodes is None or _own())
    nodes = nodes or Nodes(url=args.dist_url)
    _check(args, len(ids) * nodes.count, joined)
    if not joined and len(ids) * nodes.count > 1:
        _place(args, ids, 0, nodes)
        return _start(ids, nodes)
    place = _place(args, ids, int(os.environ.get("LOCAL_RANK", "0")) if joined else 0, nodes, joined)
    log.setup(logging.ERROR if place.rank else logging.INFO)
    if not joined:
        work(place)
        return None
    _watch_parent()
    return _member(place, work if nodes.count == 1 else _alike(work, len(ids), nodes), debug=args.debug)


# ---------------------------------------------------------------------------------------------------- what was asked


def _device_ids(text: str | None) -> tuple[int, ...]:
    if text is None:
        return ()
    words = text.split(",")
    if not all(word.strip().isdecimal() for word in words):
        raise LaunchError(f"--device-ids is {text!r}; expected whole numbers with commas, such as --device-ids 0,1.")
    ids = tuple(map(int, words))
    twice = sorted({one for one in ids if ids.count(one) > 1})
    if twice:
        raise LaunchError(f"--device-ids {text} names {twice[0]} twice; one process works on one device.")
    return ids


def _own() -> bool:
    """Return whether this program, and not torchrun, has started this process."""
    return os.environ.get("TORCHELASTIC_RUN_ID", "").startswith(OWN_RUN)


def _check(args: Namespace, count: int, joined: bool) -> None:
    if args.launcher not in (None, "torch"):
        raise LaunchError(
            f"--launcher is {args.launcher!r}; known is torch, for processes that torchrun started. To start them"
            " from here: --device-ids 0,1."
        )
    if args.launcher == "torch" and not joined:
        raise LaunchError(
            f"--launcher torch joins processes that torchrun started, and {_missing()} is not set; start the tool with"
            " `torchrun --nproc-per-node 2`, or give --device-ids 0,1 instead."
        )
    if args.dist_url is not None and (count < 2 or (joined and not _own())):
        raise LaunchError(
            "--dist-url says where the processes of --device-ids meet, and none are started here; leave it out"
            " (torchrun has --rdzv-endpoint)."
        )


def _missing() -> str:
    return next(name for name in TORCHRUN if name not in os.environ)


def _place(args: Namespace, ids: Sequence[int], local_rank: int, nodes: Nodes = ALONE, joined: bool = True) -> Place:
    """Return the place of the process `local_rank` of this node; RANK is its number only where it has `joined`.

    Raises:
        ConfigError: ``--device`` names none that this machine has.
        LaunchError: There is no device for it.
    """
    if args.device and not ids:
        resolve_device(args.device)  # told as a mistake of the command line, before a config is read
    named = ("--device-ids", args.device_ids, *(("--device", args.device) if args.device else ()))
    flags = ("--launcher", "torch") if nodes.count > 1 else named if ids else ()
    rank = int(os.environ.get("RANK", "0")) if joined else 0
    wanted, separator, _ = (args.device or "").partition(":")
    if ids and separator:
        raise LaunchError(f"--device {args.device} and --device-ids both name devices; give one of them.")
    if local_rank >= len(ids) > 0:
        raise LaunchError(
            f"--device-ids {args.device_ids} names {len(ids)} devices, and torchrun started more processes on this"
            " node; give as many ids as --nproc-per-node."
        )
    if ids and wanted in ("", "cuda") and (wanted or torch.cuda.is_available()):
        found = torch.cuda.device_count()
        if max(ids) >= found:
            raise LaunchError(
                f"--device-ids {args.device_ids}: there is no GPU {max(ids)}, this machine has {found}; name others, or"
                " add --device cpu, where ids only count processes."
            )
        return Place(f"cuda:{ids[local_rank]}", flags, rank)
    return Place("cpu" if ids else args.device, flags, rank)


# ---------------------------------------------------------------------------------------------- one of the processes


def _member(place: Place, work: Callable[[Place], Any], *, debug: bool) -> int | None:
    """Do `work` inside the group; what goes wrong is written where the launcher looks for it."""
    own = _own()
    try:
        with join_processes(place.device):
            work(place)
    except KeyboardInterrupt:
        if place.rank == 0:
            raise
        return INTERRUPTED
    except Exception as error:
        told = _lost(error) or error
        _record(told)
        if debug or not isinstance(told, HatliteError):
            raise
        if own:  # whoever started this process tells it, once for all
            return USER_ERROR
        raise told from error
    return None


def _alike(work: Callable[[Place], Any], per_node: int, nodes: Nodes) -> Callable[[Place], Any]:
    """Return `work` behind a look at whether all nodes have started `per_node` processes, as shares of a batch need."""

    def checked(place: Place) -> None:
        found, wanted = int(os.environ["WORLD_SIZE"]), per_node * nodes.count
        if found != wanted:
            raise LaunchError(
                f"{found} processes came together, and {per_node} on each of {nodes.count} nodes are {wanted}; start"
                " the same command on every node, with the same number of processes."
            )
        work(place)

    return checked


def _record(error: Exception) -> None:
    """Write `error` where the launcher looks for it, whole or not at all: it may end this process meanwhile."""
    file = os.environ.get(ERROR_FILE)
    if not file:
        get_error_handler().record_exception(error)
        return
    with suppress(OutputError), whole_file(file) as unfinished:  # without the file, the exit code says it
        os.environ[ERROR_FILE] = str(unfinished)
        try:
            get_error_handler().record_exception(error)
        finally:
            os.environ[ERROR_FILE] = file


def _lost(error: Exception) -> LaunchError | None:
    """Return what to say if `error` came from a group that a process has left.

    gloo raises plain RuntimeErrors; those of others, whose connections are none of ours, keep their tracebacks.
    """
    text = str(error)
    from_gloo = isinstance(error, RuntimeError) and ("gloo" in text or "onnection" in text) and _in_torch(error)
    if isinstance(error, distributed.DistError) or from_gloo:
        return LaunchError(f"{LOST.partition(': ')[2]}; it has ended, and its own message says why ({text[:200]}).")
    return None


def _in_torch(error: Exception) -> bool:
    """Return whether the function that raised `error` is one of ``torch.distributed``."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    return bool(frames) and Path(frames[-1].f_code.co_filename).is_relative_to(Path(distributed.__file__).parent)


def _watch_parent() -> None:
    """End this process when its launcher is gone without a word, so that none is left behind."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1.0)
        os.killpg(os.getpgid(0), signal.SIGKILL) if os.getpgid(0) == os.getpid() else os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


# ----------------------------------------------------------------------------------------- who starts the processes


def _start(ids: Sequence[int], nodes: Nodes) -> int:
    """Start this very command once per id, wait, and return the exit code.

    Raises:
        LaunchError: The nodes cannot meet.
    """
    endpoint = "127.0.0.1:0" if nodes.url in (None, "auto") else _endpoint(str(nodes.url), nodes)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, cores // len(ids))))
    _silence()
    with tempfile.TemporaryDirectory() as folder:
        config = LaunchConfig(
            min_nodes=nodes.count,
            max_nodes=nodes.count,
            nproc_per_node=len(ids),
            rdzv_endpoint=endpoint,
            **_rendezvous(endpoint, nodes),
            max_restarts=0,
            logs_specs=DefaultLogsSpecs(log_dir=folder),
            shutdown_timeout=PATIENCE,
        )
        try:
            elastic_launch(config, sys.executable)(*sys.orig_argv[1:])
        except ChildFailedError as failed:
            return _report(failed.failures, len(ids) * nodes.count)
        except SignalException as ended:
            return _ended(ended.sigval, len(ids))
        except distributed.DistError as alone:
            raise LaunchError(_who_is_missing(endpoint, nodes)) from alone
    return 0


def _rendezvous(endpoint: str, nodes: Nodes) -> dict[str, Any]:
    """Return how agents meet: one alone anywhere, several at node 0, whose numbers the user has given."""
    if nodes.count == 1:
        alone = {"rdzv_backend": "c10d", "local_addr": endpoint.rpartition(":")[0]}
        return {**alone, "run_id": f"{OWN_RUN}{os.getpid()}"}
    return {
        "rdzv_backend": "static",
        "rdzv_configs": {"rank": nodes.rank, "timeout": MEETING},
        "run_id": f"{OWN_RUN}{endpoint}",
    }


def _who_is_missing(endpoint: str, nodes: Nodes) -> str:
    if nodes.rank:
        return (
            f"--dist-url {endpoint}: node 0 did not answer there within {MEETING} seconds, or has left; start the same"
            " command with --rank 0 on the machine of that address, and look for a firewall or a VPN in between."
        )
    return (
        f"--dist-url {endpoint}: not all of {nodes.count} nodes came here within {MEETING} seconds; start the same"
        f" command on each of them, with --rank 1 … {nodes.count - 1}, and look for a firewall or a VPN in between."
    )


def _silence() -> None:
    """Keep torch's agent quiet: what it would say is said here. Some of its loggers have a level of their own."""
    above = "torch.distributed.elastic"
    for name in (above, *(name for name in logging.root.manager.loggerDict if name.startswith(f"{above}."))):
        logging.getLogger(name).setLevel(logging.CRITICAL)


def _ended(by: signal.Signals, count: int) -> int:
    """Tell that `by` ended this program, after the processes have gone, and return the exit code."""
    if by != signal.SIGINT:  # after Ctrl-C the first process has spoken
        print(
            f"Ended by {signal.Signals(by).name}, and the {count} processes with it; what they had saved stays. Ctrl-C"
            " lets a training finish its step and save it.",
            file=sys.stderr,
        )
    return 128 + int(by)


def _endpoint(url: str, nodes: Nodes) -> str:
    """Return HOST:PORT of `url` if processes can meet there.

    Raises:
        LaunchError: It is no such thing; or it is to be on this node, and the host is another one or the port is taken.
    """
    host, port = split_url(url)
    if nodes.rank:
        return f"{host}:{port}"
    try:
        with socket.create_server((host, port)):
            return f"{host}:{port}"
    except OSError as cause:
        or_else = ", or leave it out" if nodes.count == 1 else ", which is node 0 and where the other nodes come"
        raise LaunchError(
            f"--dist-url {url}: nothing can listen there ({os.strerror(cause.errno or 0)}); name a free port of this"
            f" machine{or_else}."
        ) from cause


def _report(failures: Mapping[int, ProcessFailure], count: int) -> int:
    """Print why the first process ended that did so of its own, and return its exit code."""
    rank, failure = min(failures.items(), key=lambda item: (_follows(item[1]), item[1].timestamp, item[0]))
    who = f"Process {rank} of {count}"
    if failure.exitcode == USER_ERROR and isinstance(failure.message, dict):
        text = failure.message["message"]
        print(f"{who}: {text}" if rank else text, file=sys.stderr)
        return USER_ERROR
    if failure.exitcode < 0:
        name = signal.Signals(-failure.exitcode).name
        print(
            f"{who} (pid {failure.pid}) was ended by {name}, and the others with it. SIGKILL often means that memory"
            " ran out.",
            file=sys.stderr,
        )
        return 128 - failure.exitcode
    if failure.exitcode != INTERRUPTED:
        print(f"{who} ended with exit code {failure.exitcode}; its traceback stands above.", file=sys.stderr)
    return failure.exitcode


def _follows(failure: ProcessFailure) -> bool:
    """Return whether a process failed because another had: the agent ended it, or its partner was gone."""
    lost = isinstance(failure.message, dict) and failure.message["message"].startswith(LOST)
    return lost or failure.exitcode == -signal.SIGTERM
