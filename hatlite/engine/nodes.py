"""Several machines at one stage: how many there are, which one this is, and where they meet."""

import os
from argparse import Namespace
from collections.abc import Mapping
from dataclasses import dataclass

import torch

from hatlite.errors import LaunchError

__all__ = ["Nodes", "device_ids", "meeting", "placement", "split_url"]

FROM_ENVIRONMENT = "env://"
ENVIRONMENT = ("WORLD_SIZE", "RANK", "MASTER_ADDR", "MASTER_PORT")
"""What ``env://`` reads; the first two count nodes, as ``--world-size`` and ``--rank`` do."""


@dataclass(frozen=True)
class Nodes:
    """Machines whose processes work together; on each of them the same command is started with another `rank`.

    Attributes:
        count: How many.
        rank: Number of this one, from 0; the others come to node 0.
        url: HOST:PORT of node 0; None for one node that may take any port.

    Raises:
        LaunchError: The numbers contradict each other, or nodes have no place to meet.
    """

    count: int = 1
    rank: int = 0
    url: str | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.rank < self.count:
            there = "one node, number 0" if self.count == 1 else f"the nodes 0…{self.count - 1}"
            raise LaunchError(
                f"--rank is {self.rank}, and --world-size {self.count} means {there}; both count nodes, and each node"
                " has a number of its own."
            )
        if self.count > 1 and self.url is None:
            raise LaunchError(
                f"--world-size {self.count} needs --dist-url IP:PORT, a free port of node 0 where all nodes meet, such"
                " as --dist-url 192.168.3.216:8888."
            )


def meeting(world_size: int, rank: int, dist_url: str | None, environ: Mapping[str, str] = os.environ) -> Nodes:
    """Return the nodes that ``--world-size``, ``--rank`` and ``--dist-url`` describe.

    Args:
        world_size: Count of nodes.
        rank: Number of this node.
        dist_url: ``IP:PORT``, with or without ``tcp://``; ``env://`` takes all four values from `environ`.
        environ: Variables of the environment.

    Raises:
        LaunchError: A value is missing, is no number, or contradicts another.
    """
    if dist_url != FROM_ENVIRONMENT:
        if dist_url is not None:
            split_url(dist_url)
        return Nodes(world_size, rank, dist_url)
    missing = [name for name in ENVIRONMENT if name not in environ]
    if missing:
        raise LaunchError(
            f"--dist-url env:// reads {', '.join(ENVIRONMENT)}, and {', '.join(missing)} is not set; set it, or give"
            " --world-size, --rank and --dist-url IP:PORT."
        )
    numbers = {}
    for name in ("WORLD_SIZE", "RANK"):
        if not environ[name].isdecimal():
            raise LaunchError(f"--dist-url env:// reads {name}={environ[name]!r}; expected a whole number of nodes.")
        numbers[name] = int(environ[name])
    url = f"{environ['MASTER_ADDR']}:{environ['MASTER_PORT']}"
    split_url(url)
    return Nodes(numbers["WORLD_SIZE"], numbers["RANK"], url)


def split_url(url: str) -> tuple[str, int]:
    """Return host and port of ``HOST:PORT``, with or without ``tcp://``.

    Raises:
        LaunchError: It is no such thing.
    """
    host, _, port = url.removeprefix("tcp://").rpartition(":")
    if not host or "/" in host or not port.isdecimal() or int(port) > 65535:
        raise LaunchError(f"--dist-url is {url!r}; expected HOST:PORT, such as 127.0.0.1:29500.")
    return host, int(port)


def device_ids(gpus: int | None, device: str | None) -> str | None:
    """Return the ``--device-ids`` that ``--gpus`` stands for; None where ``--device`` alone says where to work.

    Args:
        gpus: Processes on this node; None is one, on the first GPU where there is one.
        device: What ``--device`` says.

    Raises:
        LaunchError: There are fewer GPUs, or both flags name devices.
    """
    if gpus is None and device is not None:
        return None
    count = gpus or 1
    if ":" in (device or ""):
        raise LaunchError(f"--device {device} names one device and --gpus {count} the first {count}; give one of them.")
    found = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if count > found and (device == "cuda" or (found and device is None)):
        raise LaunchError(
            f"--gpus is {count}, and this machine has {found}; give fewer, or add --device cpu, where --gpus counts"
            " processes."
        )
    return ",".join(map(str, range(count)))


def placement(args: Namespace, environ: Mapping[str, str] = os.environ) -> tuple[Namespace, Nodes | None]:
    """Return what :func:`hatlite.engine.launch` takes of a command line that counts ``--gpus`` and nodes.

    Args:
        args: ``gpus``, ``device``, ``world_size``, ``rank``, ``dist_url`` and ``debug``.
        environ: Variables of the environment; processes that torchrun has started need no flags.

    Raises:
        LaunchError: As :func:`meeting` and :func:`device_ids`.
    """
    alone = args.world_size == 1 and args.rank == 0 and args.dist_url is None
    nodes = None if alone else meeting(args.world_size, args.rank, args.dist_url, environ)
    outside = alone and args.gpus is None and "LOCAL_RANK" in environ
    ids = None if outside else device_ids(args.gpus, args.device)
    return Namespace(device=args.device, device_ids=ids, launcher=None, dist_url=None, debug=args.debug), nodes
