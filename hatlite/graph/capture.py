"""A network becomes the ordered list of its leaf module calls.

Built on ``torch.fx``. Every call keeps where it stands: the module path (``backbone.blocks.3.dw``) and the line of
source that made it. Operations that are not modules are refused with the same two facts, because a place without a
module has nowhere to keep its statistics. Constant parts of a tensor need none and are captured as they are written
(:mod:`hatlite.graph.selection`).
"""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import fx, nn

from hatlite.errors import CaptureError
from hatlite.graph.selection import Selection, gives_parts, selection_step

__all__ = ["Call", "Capture", "capture"]

_ROOT = Path(__file__).resolve().parents[2]
_LEAF_PACKAGES = ("hatlite.nn.drop_path", "hatlite.nn.functional", "hatlite.nn.stubs")


@dataclass(frozen=True)
class Call:
    """One call of one leaf module.

    Attributes:
        name: Unique in the network, usable as a key of ``nn.ModuleDict``: ``head_cls_tower_0_1``.
        path: Module path, ``head.cls_tower.0``; a shared module has several calls. A selection has the path of the
            module that makes it.
        module: The module itself.
        inputs: Names of the calls (or of the network's input) whose results it takes.
        line: ``hatlite/models/heads/fcos_head.py:88``.
    """

    name: str
    path: str
    module: nn.Module
    inputs: tuple[str, ...]
    line: str


@dataclass(frozen=True)
class Capture:
    """All calls in order; `input` names the network's one input, `outputs` maps output names to calls."""

    calls: tuple[Call, ...]
    input: str
    outputs: dict[str, str]


def _source_line() -> str:
    """Return file and line of the nearest caller outside torch and this file."""
    frame = sys._getframe(1)
    while frame is not None:
        file = frame.f_code.co_filename
        if file != __file__ and "/torch/" not in file and not file.startswith("<"):
            break
        frame = frame.f_back
    if frame is None:
        return "unknown"
    return _shorten(frame.f_code.co_filename, frame.f_lineno)


def _shorten(file: str, line: int | None) -> str:
    path = Path(file).resolve()
    name = path.relative_to(_ROOT) if path.is_relative_to(_ROOT) else path
    return f"{name}:{line}"


def _raised_at(error: BaseException) -> str:
    """Return the innermost line outside torch in the traceback of `error`."""
    found, step = "unknown", error.__traceback__
    while step is not None:
        file = step.tb_frame.f_code.co_filename
        if file != __file__ and "/torch/" not in file and not file.startswith("<"):
            found = _shorten(file, step.tb_lineno)
        step = step.tb_next
    return found


class _Tracer(fx.Tracer):
    """Records the source line and module path of every node; refuses what is not a module call."""

    def __init__(self) -> None:
        super().__init__()
        self.paths: list[str] = []

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return m.__module__ in _LEAF_PACKAGES or super().is_leaf_module(m, module_qualified_name)

    def call_module(self, m: nn.Module, forward: Any, args: tuple, kwargs: dict) -> Any:
        path = self.path_of_module(m)
        self.paths.append(path)
        try:
            return super().call_module(m, forward, args, kwargs)
        except CaptureError:
            raise
        except (fx.proxy.TraceError, TypeError, RuntimeError) as error:  # RuntimeError: len() of a tensor
            raise _refusal(path, _raised_at(error), str(error)) from error
        finally:
            self.paths.pop()

    def create_node(
        self, kind: str, target: Any, args: tuple, kwargs: dict, name: str | None = None, type_expr: Any = None
    ) -> fx.Node:
        line, path = _source_line(), self.paths[-1] if self.paths else ""
        step = None
        if kind in ("call_function", "call_method", "get_attr"):
            try:
                step = selection_step(kind, target, args, kwargs)
            except ValueError as problem:
                raise _refusal(path, line, str(problem)) from None
            if step is None:
                called = target if isinstance(target, str) else getattr(target, "__name__", str(target))
                raise _refusal(path, line, f"{called} is not a module")
            name = f"{path}.select" if path else "select"
        node = super().create_node(kind, target, args, kwargs, name, type_expr)
        node.meta.update(line=line, path=path or "network")
        if step is not None:
            source = args[0].meta.get("parts")  # chunk and split give a tuple, of which this is one part
            node.meta["parts" if gives_parts(step) else "selection"] = (source or ()) + (step,)
        return node


def _refusal(path: str, line: str, reason: str) -> CaptureError:
    reason = " ".join(reason.split()).rstrip(".")
    return CaptureError(
        f"{path or 'the network'} ({line}) cannot be captured: {reason}. Between QuantStub and DeQuantStub every"
        " operation is a call of a module (hatlite.nn.Add, hatlite.nn.Interpolate, torch.nn.MaxPool2d, …) or takes a"
        " constant part of a tensor, without control flow that depends on values or shapes.",
        name=path,
        path=line,
    )


def capture(network: nn.Module) -> Capture:
    """Trace `network`, a module ``img → dict[str, Tensor]``.

    Raises:
        CaptureError: Something is not a module call, takes keyword arguments or more than one input, or the network
            does not return a dict of tensors.
    """
    tracer = _Tracer()
    try:
        graph = tracer.trace(network)
    except CaptureError:
        raise
    except (fx.proxy.TraceError, TypeError, RuntimeError) as error:
        raise _refusal("", _raised_at(error), str(error)) from error
    modules = dict(network.named_modules())
    inputs, calls = [], []
    outputs: Any = None
    for node in graph.nodes:
        if node.op == "placeholder":
            inputs.append(node.name)
        elif node.op == "call_module":
            calls.append(_as_call(node, modules))
        elif node.op == "output":
            outputs = node.args[0]
        elif "selection" in node.meta and node.users:  # a part that nothing reads is no work
            calls.append(_as_selection(node))
    if len(inputs) != 1:
        raise CaptureError(f"The network takes {len(inputs)} inputs ({', '.join(inputs)}); expected one image tensor.")
    return Capture(tuple(calls), inputs[0], _output_names(outputs))


def _as_call(node: fx.Node, modules: Mapping[str, nn.Module]) -> Call:
    if node.kwargs or not all(isinstance(argument, fx.Node) for argument in node.args):
        raise _refusal(node.target, node.meta["line"], "a module takes tensors only, by position")
    if any("parts" in argument.meta for argument in node.args):
        raise _refusal(node.target, node.meta["line"], "chunk and split give a tuple; take one of its parts")
    return Call(node.name, node.target, modules[node.target], tuple(a.name for a in node.args), node.meta["line"])


def _as_selection(node: fx.Node) -> Call:
    source, steps = node.args[0], node.meta["selection"]
    if "parts" in source.meta:
        if type(node.args[1]) is not int:
            raise _refusal(node.meta["path"], node.meta["line"], "of chunk and split only single parts can be taken")
        source = source.args[0]
    return Call(node.name, node.meta["path"], Selection(*steps), (source.name,), node.meta["line"])


def _output_names(outputs: Any) -> dict[str, str]:
    if not isinstance(outputs, Mapping) or not all(isinstance(value, fx.Node) for value in outputs.values()):
        raise CaptureError(
            "The network returns no dict of tensors; return {'cls_logits_s8': …} so that outputs have names."
        )
    return {name: value.name for name, value in outputs.items()}
