"""Which calls run as one: conv, transposed conv or linear [+ batch norm] [+ ReLU], add, sub or mul [+ ReLU]."""

from collections import Counter
from dataclasses import dataclass, replace

from torch import nn

from hatlite.errors import CaptureError
from hatlite.graph import Call, Capture
from hatlite.nn import Add, Mul, Sub

__all__ = ["CONVOLUTIONS", "FusedCall", "fuse", "refusal"]

CONVOLUTIONS = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)
"""What has weights."""


@dataclass(frozen=True)
class FusedCall:
    """One call with what was fused behind it.

    Attributes:
        call: The first call; name, path and line are its own.
        inputs: Names of the fused calls that feed it.
        batch_norm: Batch norm folded into it, or None.
        relu: Whether a ReLU follows.
        outer: Of a convolution: whether it is one of the first or last of the network.
    """

    call: Call
    inputs: tuple[str, ...]
    batch_norm: nn.BatchNorm2d | None = None
    relu: bool = False
    outer: bool = False


def fuse(capture: Capture) -> tuple[list[FusedCall], dict[str, str]]:
    """Fuse the calls of a network.

    A follower is taken along only when it is the sole reader of the call before it.

    Returns:
        The fused calls in order, and for every call the name of the fused call that holds its result.
    """
    behind = _behind_identities(capture)
    calls = [
        replace(call, inputs=tuple(behind[name] for name in call.inputs))
        for call in capture.calls
        if not isinstance(call.module, nn.Identity)
    ]
    readers = Counter(name for call in calls for name in call.inputs)
    readers += Counter(behind[name] for name in capture.outputs.values())
    only_reader = {name: call for call in calls for name in call.inputs if readers[name] == 1}
    holder = {capture.input: capture.input}
    fused: list[FusedCall] = []
    for call in calls:
        if call.name in holder:  # was taken along
            continue
        item = FusedCall(call, tuple(holder[name] for name in call.inputs))
        fused.append(_take_along(item, only_reader, holder))
    holder.update({name: holder[source] for name, source in behind.items()})
    return fused, holder


def _behind_identities(capture: Capture) -> dict[str, str]:
    """Return for every value the one it is a copy of: itself, unless an Identity made it."""
    behind = {capture.input: capture.input}
    for call in capture.calls:
        behind[call.name] = behind[call.inputs[0]] if isinstance(call.module, nn.Identity) else call.name
    return behind


def _take_along(item: FusedCall, only_reader: dict[str, Call], holder: dict[str, str]) -> FusedCall:
    """Absorb the batch norm and the ReLU behind `item`, noting in `holder` where their results are."""
    last = item.call
    holder[last.name] = item.call.name
    if isinstance(last.module, CONVOLUTIONS):
        follower = only_reader.get(last.name)
        if follower is not None and isinstance(follower.module, nn.BatchNorm2d):
            last, item = follower, replace(item, batch_norm=follower.module)
            holder[last.name] = item.call.name
    if isinstance(item.call.module, (*CONVOLUTIONS, Add, Sub, Mul)):
        follower = only_reader.get(last.name)
        if follower is not None and isinstance(follower.module, nn.ReLU):
            item = replace(item, relu=True)
            holder[follower.name] = item.call.name
    return item


def refusal(item: FusedCall, reason: str, remedy: str) -> CaptureError:
    """Return the error that says what is wrong with a call, where it stands and what to write instead."""
    return CaptureError(
        f"{item.call.path} ({item.call.line}): {reason}; {remedy}.",
        name=item.call.path,
        path=item.call.line,
        operator=type(item.call.module).__name__,
        reason=reason,
        remedy=remedy,
    )
