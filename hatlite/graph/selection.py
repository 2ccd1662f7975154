"""Constant parts of a tensor: what ``x[:, a:b]``, ``narrow``, ``chunk`` and ``split`` become in a captured network.

These are no modules, but they compute nothing either: they choose values by place alone. So they need no statistics,
and a call of a :class:`Selection` can stand for them. Whatever the way it was written, the operation itself is asked
what it takes (:meth:`Selection.ranges`), by running it on the numbers of rows, columns and channels.
"""

import operator
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import fx, nn

__all__ = ["Selection", "gives_parts", "selection_step"]

_ITEM = operator.getitem
_SELECTING: dict[Any, Callable[..., Any]] = {
    _ITEM: _ITEM,
    torch.narrow: torch.narrow,
    torch.chunk: torch.chunk,
    torch.split: torch.split,
    "narrow": torch.Tensor.narrow,
    "chunk": torch.Tensor.chunk,
    "split": torch.Tensor.split,
}
"""What a node of a graph calls → the function."""

_PARTS = (torch.chunk, torch.split, torch.Tensor.chunk, torch.Tensor.split)


class Selection(nn.Module):
    """A part of a tensor (N, C, H, W) that depends on its shape alone.

    Args:
        steps: Functions of one tensor, or of the tuple of tensors that the one before gives.
    """

    def __init__(self, *steps: Callable[[Any], Any]) -> None:
        super().__init__()
        self.steps = steps

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for step in self.steps:
            x = step(x)
        return x

    def ranges(self, shape: tuple[int, ...]) -> tuple[range, ...]:
        """Return which channels, rows and columns it takes of a picture; without rows and columns of (N, C).

        Args:
            shape: (C, H, W) or (C,), without the batch.

        Raises:
            ValueError: It takes none of them, part of the batch, or does not keep the axes.
            RuntimeError, IndexError: torch refuses the operation on this shape.
        """
        sizes = (2, *shape)  # images are independent of each other, so two of them show what happens to a batch
        taken = []
        for axis, size in enumerate(sizes):
            numbers = torch.arange(size).reshape([-1 if other == axis else 1 for other in range(len(sizes))])
            part = self(numbers.expand(sizes))
            if part.ndim != len(sizes):
                raise ValueError(f"it leaves {part.ndim} of {len(sizes)} axes; take a range such as 3:4 instead of 3")
            if not part.numel():
                raise ValueError(f"it takes nothing of {tuple(shape)}")
            line = part.movedim(axis, 0).reshape(part.shape[axis], -1)[:, 0].tolist()
            step = line[1] - line[0] if len(line) > 1 else 1
            taken.append(range(line[0], line[-1] + 1, step))
        if taken[0] != range(2):
            raise ValueError("it takes part of the batch; only channels, rows and columns can be chosen")
        return tuple(taken[1:])


def selection_step(kind: str, target: Any, args: tuple, kwargs: dict) -> Callable[[Any], Any] | None:
    """Return the step of a :class:`Selection` that a node makes, or None where it selects nothing.

    Args:
        kind: Of the node, such as ``call_function``.
        target: What it calls.
        args: Its arguments; it selects from the first.
        kwargs: Its keyword arguments.

    Raises:
        ValueError: It selects, but what it takes is not constant.
    """
    if isinstance(target, str) != (kind == "call_method") or target not in _SELECTING or not args:
        return None
    found: list[fx.Node] = []
    fx.node.map_arg((args[1:], kwargs), found.append)
    if found:
        raise ValueError("what it takes depends on a value or a shape; write constant numbers")
    function = _SELECTING[target]
    if function is not _ITEM:
        return partial(_call, function, args[1:], dict(kwargs))
    if not _is_constant_index(args[1]):
        raise ValueError("it indexes with something else than numbers and ranges; write ranges such as x[:, 2:4, ::2]")
    return operator.itemgetter(args[1])


def gives_parts(step: Callable[[Any], Any]) -> bool:
    """Return whether `step` gives a tuple of tensors."""
    return isinstance(step, partial) and step.func is _call and step.args[0] in _PARTS


def _is_constant_index(index: Any) -> bool:
    items = index if isinstance(index, tuple) else (index,)
    return all(item is Ellipsis or isinstance(item, slice) or type(item) is int for item in items)


def _call(function: Callable[..., Any], args: tuple, kwargs: dict, x: torch.Tensor) -> Any:
    return function(x, *args, **kwargs)
