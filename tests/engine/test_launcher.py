"""Flags that start processes: what they mean, what is refused, and how the end of one is told."""

import argparse
import json
import logging
import os
import signal
import socket
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from process_groups import forked
from torch import distributed
from torch.distributed.elastic.multiprocessing import SignalException

from hatlite.command import run_tool
from hatlite.engine import Run, launch
from hatlite.engine import launcher as launcher_module
from hatlite.engine.nodes import Nodes
from hatlite.errors import DataError, LaunchError


@pytest.fixture(autouse=True)
def _outside(monkeypatch):
    """Nothing of a launcher's environment, no GPU, and the log as it is."""
    monkeypatch.setattr(launcher_module.log, "setup", lambda level: None)
    for name in (*launcher_module.TORCHRUN, "LOCAL_RANK", "TORCHELASTIC_RUN_ID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)


def arguments(**given: Any) -> argparse.Namespace:
    nothing = {"device": None, "device_ids": None, "launcher": None, "dist_url": None, "debug": False}
    return argparse.Namespace(**{**nothing, **given})


def torchrun(monkeypatch, rank: int = 1, **more: str) -> None:
    values = {"RANK": rank, "WORLD_SIZE": 2, "LOCAL_RANK": rank, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": 1, **more}
    for name, value in values.items():
        monkeypatch.setenv(name, str(value))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"device_ids": "x"}, "--device-ids is 'x'; expected whole numbers with commas, such as --device-ids 0,1"),
        ({"device_ids": "0,,1"}, "--device-ids is '0,,1'; expected whole numbers"),
        ({"device_ids": "1,0,1"}, "--device-ids 1,0,1 names 1 twice; one process works on one device"),
        ({"device_ids": "0,1", "device": "cuda:1"}, "--device cuda:1 and --device-ids both name devices; give one"),
        ({"device_ids": "0,1", "device": "cuda"}, "--device-ids 0,1: there is no GPU 1, this machine has 0; name"),
        ({"launcher": "mpi"}, "--launcher is 'mpi'; known is torch, for processes that torchrun started. To start"),
        ({"launcher": "torch"}, "--launcher torch joins processes that torchrun started, and RANK is not set; start"),
        ({"dist_url": "127.0.0.1:1"}, "--dist-url says where the processes of --device-ids meet, and none are started"),
        ({"device_ids": "0,1", "dist_url": "here"}, "--dist-url is 'here'; expected HOST:PORT, such as"),
        ({"device_ids": "0,1", "dist_url": "a:70000"}, "--dist-url is 'a:70000'; expected HOST:PORT, such"),
        ({"device_ids": "0,1", "dist_url": "192.0.2.1:80"}, "--dist-url 192.0.2.1:80: nothing can listen there"),
    ],
)
def test_wrong_flags_are_one_sentence(given, said):
    with pytest.raises(LaunchError) as told:
        launch(arguments(**given), lambda place: None)
    assert str(told.value).startswith(said) and "\n" not in str(told.value)


def test_a_port_that_is_taken_is_named():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        url = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(LaunchError, match=f"--dist-url tcp://{url}: nothing can listen there .Address already in"):
            launch(arguments(device_ids="0,1", dist_url=f"tcp://{url}"), lambda place: None)


def test_a_port_of_node_0_that_is_taken_is_named_before_others_come():
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(
            LaunchError, match=f"--dist-url {url}: nothing can listen there .Address already in"
        ) as told:
            launch(arguments(device_ids="0"), lambda place: None, Nodes(2, 0, url))
    assert str(told.value).endswith("a free port of this machine, which is node 0 and where the other nodes come.")


@pytest.mark.parametrize(
    ("rank", "said"),
    [
        (0, "--dist-url 127.0.0.1:1: not all of 2 nodes came here within 600 seconds; start the same command on each"),
        (1, "--dist-url 127.0.0.1:1: node 0 did not answer there within 600 seconds, or has left; start the same com"),
    ],
)
def test_a_node_that_does_not_come_is_told(monkeypatch, rank, said):
    settings = []

    def nobody(*words):
        raise distributed.DistNetworkError("The client socket has timed out")

    monkeypatch.setattr(launcher_module, "elastic_launch", lambda config, entry: settings.append(config) or nobody)
    monkeypatch.setattr(launcher_module, "_endpoint", lambda url, nodes: url)
    with pytest.raises(LaunchError) as told:
        launch(arguments(device_ids="0,1"), lambda place: None, Nodes(2, rank, "127.0.0.1:1"))
    assert str(told.value).startswith(said)
    (config,) = settings
    assert (config.min_nodes, config.max_nodes, config.nproc_per_node) == (2, 2, 2)
    assert (config.rdzv_backend, config.rdzv_configs["rank"]) == ("static", rank)


def test_node_1_leaves_the_port_to_node_0():
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"127.0.0.1:{server.getsockname()[1]}"
        assert launcher_module._endpoint(f"tcp://{url}", Nodes(2, 1, url)) == url


def test_nodes_in_the_environment_are_no_processes_of_torchrun(monkeypatch):
    torchrun(monkeypatch, rank=0)
    places = []
    assert launch(arguments(device_ids="0"), places.append, Nodes()) is None
    assert [(place.rank, distributed.is_initialized()) for place in places] == [(0, False)]


def test_commands_of_several_nodes_are_for_torchrun(monkeypatch):
    torchrun(monkeypatch, rank=1)
    place = launcher_module._place(arguments(device_ids="0"), (0,), 0, Nodes(2, 1, "a:1"))
    assert (place.rank, place.flags) == (1, ("--launcher", "torch"))


def test_nodes_that_started_unequally_are_told(monkeypatch):
    torchrun(monkeypatch)
    with pytest.raises(LaunchError, match="2 processes came together, and 2 on each of 2 nodes are 4; start the same"):
        launcher_module._alike(lambda place: None, 2, Nodes(2, 0, "a:1"))(launcher_module.Place())


def test_fewer_ids_than_processes_of_torchrun_are_refused(monkeypatch):
    torchrun(monkeypatch)
    with pytest.raises(
        LaunchError, match="--device-ids 0 names 1 devices, and torchrun started more processes on this"
    ):
        launch(arguments(device_ids="0"), lambda place: None)
    with pytest.raises(LaunchError, match="none are started here; leave it out .torchrun has --rdzv-endpoint"):
        launch(arguments(device_ids="0,1", dist_url="auto"), lambda place: None)


@pytest.mark.parametrize(
    ("given", "gpus", "device"),
    [
        ({}, 2, None),
        ({"device": "cuda:1"}, 2, "cuda:1"),
        ({"device_ids": "1"}, 0, "cpu"),
        ({"device_ids": "1"}, 2, "cuda:1"),
        ({"device_ids": "7", "device": "cpu"}, 2, "cpu"),
    ],
)
def test_one_process_is_this_one(monkeypatch, given, gpus, device):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    places = []
    assert launch(arguments(**given), places.append) is None
    assert [(place.device, place.rank) for place in places] == [(device, 0)]


def test_process_r_takes_the_gpu_of_its_id(monkeypatch):
    torchrun(monkeypatch, rank=1)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 8)
    place = launcher_module._place(arguments(device_ids="4,6"), (4, 6), 1)
    assert (place.device, place.rank, place.flags) == ("cuda:6", 1, ("--device-ids", "4,6"))


def test_commands_in_messages_keep_the_flags(tiny_config):
    run = Run(tiny_config, "c.py", device="cuda:4", flags=("--device-ids", "4,6"))
    assert run.command("qat", resume=True) == (
        "python tools/train.py --stage qat --config c.py --device-ids 4,6 --resume"
    )
    assert Run(tiny_config, "c.py", device="cpu").command("qat").endswith("--config c.py --device cpu")


def joined(rank: int, count: int, port: int, work: Any) -> Any:
    """Do `work` as torchrun would have it done in process `rank`."""
    os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(count))
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port), TORCHELASTIC_ERROR_FILE="")
    return work(rank)


def in_torchrun(work: Any, count: int = 2) -> list[Any]:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    return forked(count, joined, count, port, work)


def greet(rank: int) -> Any:
    seen = []
    code = launch(arguments(launcher="torch"), lambda place: seen.append((place, distributed.get_world_size())))
    return code, seen[0][0].rank, seen[0][1], distributed.is_initialized()


def test_the_processes_of_torchrun_join_and_leave():
    assert in_torchrun(greet) == [(None, 0, 2, False), (None, 1, 2, False)]


def fail(rank: int) -> Any:
    os.environ["TORCHELASTIC_RUN_ID"] = "hatlite-1" if rank else "torchrun's"

    def work(place):
        raise DataError("The disk is full.")

    try:
        return launch(arguments(), work)
    except DataError as error:
        return str(error)


def test_a_process_of_our_own_leaves_telling_to_the_launcher():
    assert in_torchrun(fail) == ["The disk is full.", 2]


def test_what_went_wrong_is_written_whole_or_not_at_all(monkeypatch, tmp_path):
    file = tmp_path / "error.json"
    monkeypatch.setenv("TORCHELASTIC_ERROR_FILE", str(file))
    handler, seen = launcher_module.get_error_handler(), []

    def record(error):
        handler.record_exception(error)
        seen.append(file.exists())  # the launcher may end this process here

    monkeypatch.setattr(launcher_module, "get_error_handler", lambda: SimpleNamespace(record_exception=record))
    launcher_module._record(DataError("The disk is full."))
    assert seen == [False] and os.environ["TORCHELASTIC_ERROR_FILE"] == str(file)
    assert json.loads(file.read_text())["message"]["message"] == "DataError: The disk is full."
    assert list(tmp_path.iterdir()) == [file]


def interrupt(rank: int) -> Any:
    def work(place):
        raise KeyboardInterrupt

    return run_tool(lambda: launch(arguments(), work))


def test_ctrl_c_is_one_exit_code_everywhere():
    assert in_torchrun(interrupt) == [130, 130]


def failure(**more: Any) -> SimpleNamespace:
    return SimpleNamespace(**{"exitcode": 2, "pid": 12, "timestamp": 1, "message": "", **more})


def recorded(text: str, **more: Any) -> SimpleNamespace:
    return failure(message={"message": text}, **more)


@pytest.mark.parametrize(
    ("failures", "code", "said"),
    [
        ({0: recorded("DataError: a"), 1: recorded("DataError: a")}, 2, "DataError: a\n"),
        ({0: recorded("DataError: b", timestamp=2), 1: recorded("DataError: a")}, 2, "Process 1 of 2: DataError: a\n"),
        (
            {0: recorded(f"{launcher_module.LOST}; …"), 1: failure(exitcode=-9, timestamp=5)},
            137,
            "Process 1 of 2 (pid 12) was ended by SIGKILL, and the others with it. SIGKILL often means that memory ran"
            " out.\n",
        ),
        ({0: failure(exitcode=-15), 1: recorded("a", timestamp=9)}, 2, "Process 1 of 2: a\n"),
        ({1: failure(exitcode=1)}, 1, "Process 1 of 2 ended with exit code 1; its traceback stands above.\n"),
        ({0: failure(exitcode=130)}, 130, ""),
    ],
)
def test_the_first_process_to_fail_is_told(capsys, failures, code, said):
    assert launcher_module._report(failures, 2) == code
    assert capsys.readouterr().err == said


@pytest.mark.parametrize(
    ("by", "code", "said"),
    [
        (signal.SIGTERM, 143, "Ended by SIGTERM, and the 2 processes with it; what they had saved stays. Ctrl-C lets"),
        (signal.SIGINT, 130, ""),
    ],
)
def test_what_ended_all_is_told_in_our_words(monkeypatch, capfd, by, code, said):
    loggers = [name for name in logging.root.manager.loggerDict if name.startswith("torch.distributed.elastic")]
    levels = {name: logging.getLogger(name).level for name in loggers}

    def ended(*words):
        logging.getLogger("torch.distributed.elastic.agent.server.api").warning("Received death signal")
        raise SignalException("Process got signal", by)

    monkeypatch.setattr(launcher_module, "elastic_launch", lambda config, entrypoint: ended)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    try:
        assert launch(arguments(device_ids="0,1"), lambda place: None) == code
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
    told = capfd.readouterr().err
    assert told.startswith(said) if said else not told


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("Connection of my own database failed"),
        RuntimeError("[../gloo/transport/tcp/pair.cc:537] Connection closed by peer"),  # nobody raised it
        RuntimeError("The size of tensor a (2) must match"),
        DataError("gloo.jpg is no picture"),
    ],
)
def test_errors_of_others_stay_what_they_are(error):
    def work(place):
        raise error

    with pytest.raises(type(error)) as told:
        launcher_module._member(launcher_module.Place(), work, debug=False)
    assert told.value is error
    assert launcher_module._lost(told.value) is None


def test_an_error_of_torch_distributed_is_a_partner_that_is_gone():
    told = launcher_module._lost(distributed.DistNetworkError("The client socket has timed out"))
    assert f"LaunchError: {told}".startswith(launcher_module.LOST)


def leave(rank: int) -> Any:
    def work(place):
        if rank == 0:
            distributed.all_reduce(torch.zeros(1))

    try:
        return launch(arguments(), work)
    except LaunchError as error:
        return f"LaunchError: {error}"


def test_a_partner_that_is_gone_is_noticed():
    said, code = in_torchrun(leave)
    assert said.startswith(f"{launcher_module.LOST}; it has ended, and its own message says why")
    assert code is None
