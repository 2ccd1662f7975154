"""What --world-size, --rank, --dist-url and --gpus mean, and what is told where they contradict each other."""

import re
from argparse import Namespace

import pytest
import torch

from hatlite.engine.nodes import Nodes, device_ids, meeting, placement, split_url
from hatlite.errors import LaunchError

ENVIRONMENT = {"WORLD_SIZE": "2", "RANK": "1", "MASTER_ADDR": "10.0.0.1", "MASTER_PORT": "8888"}


@pytest.mark.parametrize("url", ["192.168.3.216:8888", "tcp://192.168.3.216:8888"])
def test_world_size_and_rank_count_nodes(url):
    assert meeting(2, 1, url) == Nodes(2, 1, url)
    assert split_url(url) == ("192.168.3.216", 8888)


def test_the_environment_may_say_it_in_texts():
    assert meeting(1, 0, "env://", ENVIRONMENT) == Nodes(2, 1, "10.0.0.1:8888")


def test_one_node_needs_no_place_to_meet():
    assert meeting(1, 0, None) == Nodes()


@pytest.mark.parametrize(
    ("given", "environ", "said"),
    [
        ((2, 2, "a:1"), {}, "--rank is 2, and --world-size 2 means the nodes 0…1; both count nodes, and each node has"),
        ((1, 1, None), {}, "--rank is 1, and --world-size 1 means one node, number 0; both count nodes"),
        ((2, 0, None), {}, "--world-size 2 needs --dist-url IP:PORT, a free port of node 0 where all nodes meet"),
        ((2, 0, "here"), {}, "--dist-url is 'here'; expected HOST:PORT, such as 127.0.0.1:29500"),
        ((2, 0, "ftp://a:1"), {}, "--dist-url is 'ftp://a:1'; expected HOST:PORT, such as"),
        ((1, 0, "env://"), {}, "--dist-url env:// reads WORLD_SIZE, RANK, MASTER_ADDR, MASTER_PORT, and WORLD_SIZE, R"),
        ((1, 0, "env://"), {**ENVIRONMENT, "RANK": "one"}, "--dist-url env:// reads RANK='one'; expected a whole numb"),
        ((1, 0, "env://"), {**ENVIRONMENT, "RANK": "2"}, "--rank is 2, and --world-size 2 means the nodes 0…1"),
        ((1, 0, "env://"), {**ENVIRONMENT, "MASTER_PORT": ""}, "--dist-url is '10.0.0.1:'; expected HOST:PORT"),
    ],
)
def test_nodes_that_cannot_meet_are_one_sentence(given, environ, said):
    with pytest.raises(LaunchError, match=re.escape(said)) as told:
        meeting(*given, environ)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    ("gpus", "device", "found", "ids"),
    [
        (None, None, 0, "0"),
        (None, "cuda:1", 2, None),
        (2, None, 0, "0,1"),
        (2, None, 2, "0,1"),
        (3, "cpu", 2, "0,1,2"),
        (1, "cuda", 2, "0"),
    ],
)
def test_gpus_count_processes_of_this_node(monkeypatch, gpus, device, found, ids):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: found > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: found)
    assert device_ids(gpus, device) == ids


@pytest.mark.parametrize(
    ("gpus", "device", "found", "said"),
    [
        (3, None, 2, "--gpus is 3, and this machine has 2; give fewer, or add --device cpu, where --gpus counts"),
        (1, "cuda", 0, "--gpus is 1, and this machine has 0; give fewer"),
        (2, "cuda:1", 2, "--device cuda:1 names one device and --gpus 2 the first 2; give one of them"),
    ],
)
def test_gpus_that_are_not_there_are_told(monkeypatch, gpus, device, found, said):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: found > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: found)
    with pytest.raises(LaunchError, match=re.escape(said)):
        device_ids(gpus, device)


@pytest.mark.parametrize(
    ("given", "environ", "ids", "nodes"),
    [
        ({}, {}, "0", None),
        ({"gpus": 2}, {}, "0,1", None),
        ({}, {"LOCAL_RANK": "1"}, None, None),
        ({"gpus": 2, "world_size": 2, "rank": 1, "dist_url": "a:1"}, {"LOCAL_RANK": "1"}, "0,1", Nodes(2, 1, "a:1")),
        ({"dist_url": "env://"}, ENVIRONMENT, "0", Nodes(2, 1, "10.0.0.1:8888")),
    ],
)
def test_a_command_line_becomes_one_of_the_launcher(given, environ, ids, nodes):
    flags = {"gpus": None, "world_size": 1, "rank": 0, "dist_url": None, "device": None, "debug": False, **given}
    args, found = placement(Namespace(**flags), environ)
    assert (args.device_ids, args.dist_url, args.launcher, found) == (ids, None, None, nodes)
