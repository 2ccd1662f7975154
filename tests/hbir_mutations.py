"""Damage `.hbir` files in every way that a checksum does not stop, and see what becomes of them.

::

    python tests/hbir_mutations.py COUNT SEED

prints JSON: how many were ``refused``, how many ``accepted`` and of those ``run``. It ends with an error for anything
else than a ProgramError of one sentence, and where memory grows by more than :data:`MEGABYTES`.
"""

import copy
import hashlib
import json
import math
import resource
import struct
import sys
from collections.abc import Callable
from typing import Any

import msgpack
import numpy as np

from hatlite.errors import ProgramError
from hatlite.executor import Executor
from hatlite.program import IntProgram, dumps, loads, verify
from hatlite.program.records import CHECKSUM_BYTES, PREFIX
from hatlite.program.samples import random_inputs, random_program
from hatlite.program.serialize import CLASSES

MEGABYTES = 256
"""What the largest of the files (some 100 KiB) may cost, beyond what Python and NumPy take."""
SENTENCE = 1200
"""Letters that a message may have."""
RUNNABLE = 200_000
"""Integers that a program may have for a run of it to be quick."""

Rng = np.random.Generator


def signed(body: bytes) -> bytes:
    """Return `body` with the checksum that belongs to it."""
    return body + hashlib.sha256(body).digest()


def with_header(content: bytes, change: Callable[[bytes], bytes]) -> bytes:
    """Return the file with another header, its length and its checksum."""
    magic, version, length = PREFIX.unpack_from(content)
    header = change(content[PREFIX.size : PREFIX.size + length])
    return signed(PREFIX.pack(magic, version, len(header)) + header + content[PREFIX.size + length : -CHECKSUM_BYTES])


def flipped(content: bytes, rng: Rng) -> bytes:
    damaged = bytearray(content)
    for _ in range(rng.integers(1, 9)):
        damaged[rng.integers(len(damaged))] ^= 1 << rng.integers(8)
    return bytes(damaged)


def truncated(content: bytes, rng: Rng) -> bytes:
    return content[: rng.integers(len(content))]


def inserted(content: bytes, rng: Rng) -> bytes:
    place = rng.integers(len(content) + 1)
    return content[:place] + rng.bytes(rng.integers(1, 64)) + content[place:]


def removed(content: bytes, rng: Rng) -> bytes:
    first, last = sorted(rng.integers(len(content) + 1, size=2))
    return content[:first] + content[min(last, first + 64) :]


def repeated(content: bytes, rng: Rng) -> bytes:
    first, last = sorted(rng.integers(len(content) + 1, size=2))
    return content[:last] + content[first:]


RAW = (flipped, truncated, inserted, removed, repeated)


def raw(content: bytes, rng: Rng) -> bytes:
    """Bytes anywhere, the old checksum behind them."""
    return RAW[rng.integers(len(RAW))](content, rng)


def behind_the_checksum(content: bytes, rng: Rng) -> bytes:
    """Bytes anywhere, with the checksum that belongs to them."""
    return signed(raw(content[:-CHECKSUM_BYTES], rng))


def in_the_header(content: bytes, rng: Rng) -> bytes:
    """Bytes of the header, with lengths and checksum that belong to them."""
    return with_header(content, lambda header: raw(header, rng))


def blown_up(content: bytes, rng: Rng) -> bytes:
    """The length of the header, or one inside it, is large."""
    huge = (2**63, 2**64 - 1, 2**32, 2**31 - 1, 2**24, len(content) + 1)[rng.integers(6)]
    if rng.random() < 0.3:
        magic, version, _ = PREFIX.unpack_from(content)
        return signed(PREFIX.pack(magic, version, huge) + content[PREFIX.size : -CHECKSUM_BYTES])
    first = int(rng.choice([0xDB, 0xDD, 0xDF, 0xC6, 0xC9]))  # text, array, map, bytes, extension: 32-bit lengths
    stated = bytes([first]) + struct.pack(">I", huge % 2**32)

    def change(header: bytes) -> bytes:
        place = int(rng.integers(len(header)))
        return header[:place] + stated + header[place + int(rng.integers(0, 6)) :]

    return with_header(content, change)


def bomb(content: bytes, rng: Rng) -> bytes:
    """Nesting, and containers in containers that all say they are large."""
    depth = int(rng.choice([40, 70, 600, 1023, 1025, 20_000]))
    opening = [b"\x91", b"\x81\xa1a", b"\xdd\xff\xff\xff\xff", b"\xdd\x00\x01\x00\x00", b"\xdc\xff\xff"]
    header = opening[rng.integers(len(opening))] * depth + rng.bytes(rng.integers(0, 4))
    return with_header(content, lambda _: header)


ODD: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 2, 3, 255, 2**31, 2**32, 2**53, 2**63 - 1, 2**63, 2**64 - 1, -(2**63), 0.0, -0.5,
    1e308, 5e-324, math.inf, -math.inf, math.nan, "", "x", "img", "int8", "int32", "float64", "NHWC", b"x", [], [[]],
    [0], [1, 1, 1], [2**40, 0], [2**62, 4], {}, {"class": "tuple", "items": []}, {"class": "dict", "items": {}},
    {"class": "tuple", "items": [1, 1]}, {"class": "tuple", "items": [2**30, 2**30, 4]},
    {"class": "tuple", "items": [2**31, 0]}, {"class": "array", "dtype": "int8", "shape": [2**60], "offset": 0},
    {"class": "array", "dtype": "int8", "shape": [-1], "offset": 0}, "a" * 5000, msgpack.ExtType(1, b"x"),
)  # fmt: skip


def nodes(item: Any) -> list[tuple[Any, Any]]:
    """Return every place in a tree of dicts and lists as (container, key)."""
    found = []
    for key in list(item) if isinstance(item, dict) else range(len(item)) if isinstance(item, list) else ():
        found += [(item, key), *nodes(item[key])]
    return found


def rewritten(content: bytes, rng: Rng) -> bytes:
    """Values of the header are replaced by odd ones, by others of the same header, or go."""

    def change(header: bytes) -> bytes:
        tree = msgpack.unpackb(header)
        for _ in range(int(rng.choice([1, 1, 2, 4]))):
            places = nodes(tree)
            container, key = places[rng.integers(len(places))]
            donor, at = places[rng.integers(len(places))]
            chance = rng.random()
            if chance < 0.5:
                container[key] = copy.deepcopy(ODD[rng.integers(len(ODD))])
            elif chance < 0.7 and type(container[key]) is int:
                other = (container[key] + 1, container[key] - 1, -container[key], 2**31)[rng.integers(4)]
                container[key] = min(max(other, -(2**63)), 2**64 - 1)  # what msgpack holds
            elif chance < 0.8:
                container[key] = str(rng.choice(sorted(CLASSES)))
            elif chance < 0.95:
                container[key] = msgpack.unpackb(msgpack.packb(donor[at]))
            else:
                del container[key]
        return msgpack.packb(tree)

    return with_header(content, change)


def in_the_arrays(content: bytes, rng: Rng) -> bytes:
    """Weights, biases, multipliers, shifts, tables and scales have other bits."""
    start = PREFIX.size + PREFIX.unpack_from(content)[2]
    return signed(content[:start] + flipped(content[start:-CHECKSUM_BYTES], rng))


SAME_TYPE: dict[type, tuple[Any, ...]] = {
    int: (0, 1, 2, 3, 7, 255, 256, -1, 2**15, 2**31 - 1, -(2**31), 2**31, 2**40, 2**63 - 1, 2**64 - 1),
    float: (0.0, 1.0, 1e-30, 1e308, 5e-324, -1.0, math.inf, math.nan),
    str: ("int8", "uint8", "int16", "int32", "img", "raw", "", "NHWC", "half_up", "bayes-sim"),
}
STRUCTURE = ("class", "dtype", "offset")


def other_values(content: bytes, rng: Rng) -> bytes:
    """Fields have other values of their type, and the structure is whole: what only the verifier can refuse."""

    def change(header: bytes) -> bytes:
        tree = msgpack.unpackb(header)
        places = [(c, k) for c, k in nodes(tree) if type(c[k]) in SAME_TYPE and k not in STRUCTURE]
        for _ in range(int(rng.choice([1, 1, 1, 3]))):
            container, key = places[rng.integers(len(places))]
            kind = type(container[key])
            donors = [c[k] for c, k in places if type(c[k]) is kind] if rng.random() < 0.5 else SAME_TYPE[kind]
            container[key] = donors[rng.integers(len(donors))]
        return msgpack.packb(tree)

    return with_header(content, change)


MUTATIONS = (
    *(raw, behind_the_checksum, in_the_header, blown_up, bomb),
    *(rewritten, in_the_arrays, in_the_arrays, other_values, other_values),
)


def survives(content: bytes) -> IntProgram | None:
    """Return the program that `content` still is, None where it is refused as it should be."""
    try:
        program = loads(content)
    except ProgramError as problem:
        if not 0 < len(str(problem)) <= SENTENCE:
            raise RuntimeError(f"a message of {len(str(problem))} letters") from problem
        return None
    assert verify(program) is program
    assert dumps(loads(dumps(program))) == dumps(program)
    return program


def runs(program: IntProgram) -> bool:
    """Run a small program on the reference: what was accepted computes, whatever it computes."""
    work = sum(math.prod(program.values[op.output].shape) * window(op) for op in program.ops)
    if work + sum(math.prod(program.values[port.value].shape) for port in program.inputs) > RUNNABLE:
        return False
    Executor(program, "reference").run(random_inputs(program, 0))
    return True


def window(op: Any) -> int:
    """Return what one result of `op` costs, roughly."""
    sides = op.weight.values.shape[1:] if hasattr(op, "weight") else getattr(op, "kernel", (1,))
    return math.prod(sides) * math.prod(1 + p for p in getattr(op, "padding", ())) * len(op.inputs)


def main(count: int, seed: int) -> dict[str, int]:
    """Mutate `count` files."""
    files = [dumps(random_program(one, length=length)) for one, length in enumerate((1, 3, 8, 8, 30))]
    found = {"refused": 0, "accepted": 0, "run": 0}
    limit_memory()
    for index in range(count):
        rng = np.random.default_rng((seed, index))
        try:
            program = survives(MUTATIONS[index % len(MUTATIONS)](files[rng.integers(len(files))], rng))
            found["refused" if program is None else "accepted"] += 1
            found["run"] += program is not None and runs(program)
        except BaseException:
            print(f"mutation {index} of seed {seed}", file=sys.stderr)
            raise
    return found


def limit_memory() -> None:
    """Let the address space of this process grow by MEGABYTES and no further."""
    with open("/proc/self/statm", encoding="ascii") as file:
        pages = int(file.read().split()[0])
    limit = pages * resource.getpagesize() + MEGABYTES * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


if __name__ == "__main__":
    print(json.dumps(main(int(sys.argv[1]), int(sys.argv[2]))))
