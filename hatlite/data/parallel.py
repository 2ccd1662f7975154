"""Work on many files at once."""

import itertools
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

__all__ = ["ordered_map"]

Item = TypeVar("Item")
Result = TypeVar("Result")
CHUNK_PER_WORKER = 64


def ordered_map(function: Callable[[Item], Result], items: Iterable[Item], num_workers: int) -> Iterator[Result]:
    """Yield ``function(item)`` in the order of `items`.

    Threads, since reading, decoding and checksums release the interpreter. Only a bounded number of results waits to be
    taken, so a data set larger than the memory passes through.

    Args:
        num_workers: 0 or 1 works in the calling thread.
    """
    if num_workers <= 1:
        yield from map(function, items)
        return
    source = iter(items)
    with ThreadPoolExecutor(num_workers) as pool:
        while chunk := list(itertools.islice(source, num_workers * CHUNK_PER_WORKER)):
            yield from pool.map(function, chunk)
