"""The header of a `.hbir` file: plain values as msgpack, read without trusting any length that it states.

msgpack makes room for as many items as an array says it has, before it has seen one of them, and does so again on every
level. :func:`unpack` therefore walks over the bytes first: no container may state more items than bytes are left, and
none may lie deeper than :data:`MAX_DEPTH`. Time and memory are then in proportion to the bytes, whatever they hold.
"""

from typing import Any

import msgpack

from hatlite.errors import ProgramError

__all__ = ["MAX_DEPTH", "pack", "unpack"]

MAX_DEPTH = 64
"""Levels of containers; a program needs 10, and 2 more for each level of its metadata."""

STRINGS = {0xD9: 1, 0xDA: 2, 0xDB: 4}
ARRAYS = {0xDC: 2, 0xDD: 4}
MAPS = {0xDE: 2, 0xDF: 4}
"""First byte → bytes of the length behind it."""
NUMBERS = {0xC0: 0, 0xC2: 0, 0xC3: 0, 0xCB: 8} | {first + i: 2**i for first in (0xCC, 0xD0) for i in range(4)}
"""First byte of None, False, True, float64, uint8…64 and int8…64 → bytes behind it."""


def pack(item: Any) -> bytes:
    """Return `item` as msgpack.

    Raises:
        ProgramError: It holds something that no header can, such as an integer beyond 64 bits.
    """
    try:
        return msgpack.packb(item)
    except (TypeError, ValueError, OverflowError) as problem:
        raise ProgramError(f"cannot be written: {problem}; expected plain numbers and valid text.") from problem


def unpack(data: bytes) -> Any:
    """Return the plain value in `data`: None, booleans, numbers, strings, lists and dicts with string keys.

    Raises:
        ProgramError: The bytes are no such value, state lengths that they do not have, or are nested too deep.
    """
    _walk(data)
    try:
        return msgpack.unpackb(data)
    except ValueError as problem:  # text that is no UTF-8, a key that is no text
        raise ProgramError(f"the header is invalid ({problem}); write the file again.") from problem


def _walk(data: bytes) -> None:
    """Check that `data` is one value, and nothing else, of the kinds that a header has."""
    position, owed, levels = 0, 1, [1]  # values still to come: in all, and in each container that is open
    while levels:
        if not levels[-1]:
            levels.pop()
            continue
        if owed > len(data) - position:  # a value takes a byte or more
            raise _broken(f"states {owed} more values at byte {position} of {len(data)}")
        position, inside = _step(data, position)
        levels[-1] -= 1
        owed += inside - 1
        if inside:
            levels.append(inside)
        if len(levels) > MAX_DEPTH + 1:
            raise _broken(f"is nested deeper than {MAX_DEPTH} levels")
    if position != len(data):
        raise _broken(f"ends {len(data) - position} bytes before its stated length")


def _step(data: bytes, position: int) -> tuple[int, int]:
    """Return where the value at `position` ends, a container before its items, and how many values it holds."""
    first, position = data[position], position + 1
    if first < 0x80 or first >= 0xE0:  # −32…127
        return position, 0
    if first < 0x90:
        return position, 2 * (first & 0x0F)
    if first < 0xA0:
        return position, first & 0x0F
    if first < 0xC0:
        return _within(data, position + (first & 0x1F)), 0
    if first in NUMBERS:
        return _within(data, position + NUMBERS[first]), 0
    width = STRINGS.get(first) or ARRAYS.get(first) or MAPS.get(first)
    if width is None:
        raise _broken(f"holds a value of kind {first:#04x}, which no header has")
    behind = _within(data, position + width)
    length = int.from_bytes(data[position:behind], "big")
    if first in STRINGS:
        return _within(data, behind + length), 0
    return behind, length * (2 if first in MAPS else 1)


def _within(data: bytes, position: int) -> int:
    if position > len(data):
        raise _broken(f"states a value that ends at byte {position} of {len(data)}")
    return position


def _broken(how: str) -> ProgramError:
    return ProgramError(f"the header {how}; write the file again.")
