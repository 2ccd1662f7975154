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

import torch
from torch import fx, nn

from hatlite.errors import CaptureError
from hatlite.graph.refusal import REPLACEMENTS, Refuse, Refused, strictly
from hatlite.graph.selection import Selection, gives_parts, selection_step

__all__ = ["Call", "Capture", "capture"]

_ROOT = Path(__file__).resolve().parents[2]
_LEAF_MODULES = ("activation", "drop_path", "functional", "l2_norm", "stubs", "sync_batch_norm")
_LEAF_PACKAGES = tuple(f"hatlite.nn.{name}" for name in _LEAF_MODULES)


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

    @torch.no_grad()
    def run(self, img: torch.Tensor) -> dict[str, Any]:
        """Return what every call gives in float, by name; `img` is (N, C, H, W) float32."""
        values: dict[str, Any] = {self.input: img}
        for call in self.calls:
            values[call.name] = call.module(*(values[name] for name in call.inputs))
        return values


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

    def __init__(self, refuse: Refuse) -> None:
        super().__init__()
        self.refuse = refuse
        self.paths: list[str] = []

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return m.__module__ in _LEAF_PACKAGES or super().is_leaf_module(m, module_qualified_name)

    def call_module(self, m: nn.Module, forward: Any, args: tuple, kwargs: dict) -> Any:
        path, depth = self.path_of_module(m), len(self.module_stack)
        self.paths.append(path)
        try:
            return super().call_module(m, forward, args, kwargs)
        except CaptureError:
            raise
        except (fx.proxy.TraceError, TypeError, RuntimeError) as error:  # RuntimeError: len() of a tensor
            self.refuse(_refusal(path, _raised_at(error), str(error), type(m).__name__))
            while len(self.module_stack) > depth:  # torch leaves it as it was when the error came up
                self.module_stack.popitem()
            whole = self.create_proxy("call_module", path, args, kwargs)
            whole.node.meta["refused"] = True
            return whole
        finally:
            self.paths.pop()

    def create_node(
        self, kind: str, target: Any, args: tuple, kwargs: dict, name: str | None = None, type_expr: Any = None
    ) -> fx.Node:
        line, path = _source_line(), self.paths[-1] if self.paths else ""
        step = None
        is_call = kind in ("call_function", "call_method", "get_attr")
        if is_call:
            step = self._selects(kind, target, args, kwargs, place=(path, line))
            name = f"{path}.select" if path else "select"
        node = super().create_node(kind, target, args, kwargs, name, type_expr)
        node.meta.update(line=line, path=path or "network")
        if is_call and (step is None or "refused" in node.args[0].meta):  # part of a refused result
            node.meta["refused"] = True
        elif step is not None:
            source = args[0].meta.get("parts")  # chunk and split give a tuple, of which this is one part
            node.meta["parts" if gives_parts(step) else "selection"] = (source or ()) + (step,)
        return node

    def _selects(self, kind: str, target: Any, args: tuple, kwargs: dict, *, place: tuple[str, str]) -> Any:
        """Return the step by which it selects; refuse what does not, and return None should that be taken."""
        called = target if isinstance(target, str) else getattr(target, "__name__", str(target))
        reason = f"{called} is not a module"
        try:
            step = selection_step(kind, target, args, kwargs)
        except ValueError as problem:
            step, reason = None, str(problem)
        if step is None:
            self.refuse(_refusal(*place, reason, called))
        return step


def _refusal(path: str, line: str, reason: str, operator: str) -> CaptureError:
    reason = " ".join(reason.split()).rstrip(".")
    law = (
        "Between QuantStub and DeQuantStub every operation is a call of a module (hatlite.nn.Add,"
        " hatlite.nn.Interpolate, torch.nn.MaxPool2d, …) or takes a constant part of a tensor, without control flow"
        " that depends on values or shapes"
    )
    return CaptureError(
        f"{path or 'the network'} ({line}) cannot be captured: {reason}. {law}.",
        name=path,
        path=line,
        operator=operator,
        reason=reason,
        remedy=REPLACEMENTS.get(operator, law),
    )


def capture(network: nn.Module, refuse: Refuse = strictly) -> Capture:
    """Trace `network`, a module ``img → dict[str, Tensor]``.

    Args:
        network: In float; it is left as it is.
        refuse: Takes every refusal of an operation; where it returns, the call is captured as :class:`Refused`.

    Raises:
        CaptureError: Something is not a module call, takes keyword arguments or more than one input, or the network
            does not return a dict of tensors.
    """
    tracer = _Tracer(refuse)
    try:
        graph = tracer.trace(network)
    except CaptureError:
        raise
    except (fx.proxy.TraceError, TypeError, RuntimeError) as error:
        raise _refusal("", _raised_at(error), str(error), type(network).__name__) from error
    inputs = [node.name for node in graph.nodes if node.op == "placeholder"]
    if len(inputs) != 1:
        raise CaptureError(f"The network takes {len(inputs)} inputs ({', '.join(inputs)}); expected one image tensor.")
    calls = tuple(_as_call(node, network, refuse) for node in graph.nodes if _computes(node))
    return Capture(calls, inputs[0], _output_names(graph.output_node().args[0]))


def _computes(node: fx.Node) -> bool:
    """Return whether a node becomes a call; a part that nothing reads is no work."""
    if "parts" in node.meta:  # a tuple; whoever reads it as such is refused
        return any("selection" not in user.meta or type(user.args[1]) is not int for user in node.users)
    return node.op == "call_module" or "refused" in node.meta or ("selection" in node.meta and bool(node.users))


def _as_call(node: fx.Node, network: nn.Module, refuse: Refuse) -> Call:
    path, line = node.meta["path"], node.meta["line"]
    if not {"refused", "parts"} & node.meta.keys():
        try:
            return _selection(node) if "selection" in node.meta else _module_call(node, network)
        except CaptureError as problem:
            refuse(problem)
    return Call(node.name, path, Refused(node, network), tuple(one.name for one in node.all_input_nodes), line)


def _module_call(node: fx.Node, network: nn.Module) -> Call:
    path, line = node.meta["path"], node.meta["line"]
    module = network.get_submodule(node.target)
    kind = type(module).__name__
    if node.kwargs or not all(isinstance(argument, fx.Node) for argument in node.args):
        raise _refusal(path, line, "a module takes tensors only, by position", kind)
    if any("parts" in argument.meta for argument in node.args):
        raise _refusal(path, line, "chunk and split give a tuple; take one of its parts", kind)
    return Call(node.name, path, module, tuple(a.name for a in node.args), line)


def _selection(node: fx.Node) -> Call:
    source, steps = node.args[0], node.meta["selection"]
    if "parts" in source.meta:
        if type(node.args[1]) is not int:
            raise _refusal(
                node.meta["path"], node.meta["line"], "of chunk and split only single parts can be taken", "getitem"
            )
        source = source.args[0]
    return Call(node.name, node.meta["path"], Selection(*steps), (source.name,), node.meta["line"])


def _output_names(outputs: Any) -> dict[str, str]:
    if not isinstance(outputs, Mapping) or not all(isinstance(value, fx.Node) for value in outputs.values()):
        raise CaptureError(
            "The network returns no dict of tensors; return {'cls_logits_s8': …} so that outputs have names."
        )
    return {name: value.name for name, value in outputs.items()}
