"""The border of a network: what DeQuantStubs ask of the calls before them, and which convolutions stand next to it."""

from dataclasses import replace

from torch import nn

from hatlite.errors import CaptureError, QuantizationError
from hatlite.graph import Capture, Refuse, Refused, Selection
from hatlite.nn import Add, Concat, DeQuantStub, Interpolate, Mul, QuantStub, Sub
from hatlite.quantization.fuse import CONVOLUTIONS, FusedCall, refusal
from hatlite.quantization.sites import LUT_FUNCTIONS

__all__ = ["mark_outer", "output_dtypes"]

MOVING = (nn.MaxPool2d, nn.ZeroPad2d, nn.PixelShuffle, Selection, Concat)


def mark_outer(fused: list[FusedCall]) -> list[FusedCall]:
    """Return the calls with the first and the last convolutions marked.

    Only what moves values lies between the first ones and the image, and between the last ones and an output.

    Raises:
        QuantizationError: There are none at one of the two ends.
    """
    first, last = _first(fused), _last(fused)
    for found, where in ((first, "behind the image"), (last, "in front of an output")):
        if not found:
            raise QuantizationError(
                f"config['qconfig']['first_and_last'] finds no convolution right {where}; leave it out and name the"
                " layers that shall have 16 bits in rules, with dict(dtype='int16', weight_dtype='int16')."
            )
    return [replace(item, outer=item.call.name in first | last) for item in fused]


def _first(fused: list[FusedCall]) -> set[str]:
    reached = {item.call.name for item in fused if isinstance(item.call.module, QuantStub)}
    found = set()
    for item in fused:
        if reached.isdisjoint(item.inputs):
            continue
        if isinstance(item.call.module, CONVOLUTIONS):
            found.add(item.call.name)
        elif _moves(item.call.module):
            reached.add(item.call.name)
    return found


def _last(fused: list[FusedCall]) -> set[str]:
    reached: set[str] = set()
    found = set()
    for item in reversed(fused):
        if isinstance(item.call.module, DeQuantStub):
            reached.update(item.inputs)
        elif item.call.name not in reached:
            continue
        elif isinstance(item.call.module, CONVOLUTIONS):
            found.add(item.call.name)
        elif _moves(item.call.module):
            reached.update(item.inputs)
    return found


def _moves(module: nn.Module) -> bool:
    return isinstance(module, MOVING) or (isinstance(module, Interpolate) and module.mode == "nearest")


def output_dtypes(captured: Capture, fused: list[FusedCall], holder: dict[str, str], refuse: Refuse) -> dict[str, str]:
    """Return the dtype that a DeQuantStub asks of the call before it; check that outputs pass through one."""
    modules = {item.call.name: item for item in fused}
    wanted: dict[str, str] = {}
    for item in fused:
        if isinstance(item.call.module, DeQuantStub):
            try:
                wanted[item.inputs[0]] = _output_dtype(item, modules.get(item.inputs[0]), wanted, fused)
            except CaptureError as problem:
                refuse(problem)
    for name, call in captured.outputs.items():
        if holder[call] not in modules or not isinstance(modules[holder[call]].call.module, DeQuantStub):
            refuse(_float_output(name))
    return wanted


def _output_dtype(stub: FusedCall, source: FusedCall | None, wanted: dict[str, str], fused: list[FusedCall]) -> str:
    dtype = stub.call.module.dtype
    if source is None or wanted.get(stub.inputs[0], dtype) != dtype:
        reason = "two DeQuantStubs ask for different dtypes of one value, or of the image itself"
        raise refusal(stub, reason, "give both one dtype, behind an operation")
    _check_high_precision(stub, source, fused)
    return dtype


def _float_output(name: str) -> CaptureError:
    reason, remedy = "does not come from a DeQuantStub", "return what a DeQuantStub gives"
    message = f"The output {name!r} of the network {reason}; {remedy}."
    return CaptureError(message, name=name, operator="output", reason=f"it {reason}", remedy=remedy)


def _check_high_precision(stub: FusedCall, source: FusedCall, fused: list[FusedCall]) -> None:
    """int16 and int32 leave the accelerator directly from an operation that can produce them."""
    dtype = stub.call.module.dtype
    if dtype == "int8":
        return
    makers: tuple[type, ...] = (nn.Conv2d, nn.Linear)
    if dtype != "int32":
        makers += (nn.ConvTranspose2d, Add, Sub, Mul, *LUT_FUNCTIONS)
    if isinstance(source.call.module, Refused):
        return
    if not isinstance(source.call.module, makers):
        reason = f"{dtype} needs a convolution before the stub, not {type(source.call.module).__name__}"
        raise refusal(stub, reason, "use DeQuantStub('int8')")
    readers = [item for item in fused if source.call.name in item.inputs and item is not stub]
    if dtype == "int32" and any(not isinstance(item.call.module, DeQuantStub) for item in readers):
        raise refusal(stub, f"the raw accumulator is also read by {readers[0].call.path}", "use int8 or int16")
