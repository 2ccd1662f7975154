"""An integer program as an ONNX model.

Inputs and outputs are integers by default, in the dtypes and under the names of the program's ports, in ONNX's layout
(N, C, H, W) with a free batch. That is the interface at which equality is defined and checked. With ``real=True`` both
ends are float32, as a detector's pre- and postprocessing see them: inputs become ``clamp(floor(x / S + ½))`` in
float64 (NaN has no meaning there), outputs ``float32(q) · float32(scale)``: the very steps around an
:class:`~hatlite.executor.Executor`.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from onnx import ModelProto, ValueInfoProto, checker, helper

from hatlite import __version__
from hatlite.errors import ProgramError
from hatlite.export import clip, golden, qdq
from hatlite.export.onnx_graph import OnnxGraph
from hatlite.program import IntProgram, Port, verify
from hatlite.registry import nearest

__all__ = ["FORMS", "to_onnx"]

FORMS = {"golden": golden, "qdq": qdq, "clip": clip}
"""Form → module with OPSET, STORAGE, ENDS, RULES and, where not every program has the form, check."""

IR_VERSIONS = {18: 8, 21: 10}
"""Opset → oldest version of the file format that has it, so that older runtimes read the file."""


def to_onnx(program: IntProgram, form: str = "golden", *, real: bool = False) -> ModelProto:
    """Return `program` as an ONNX model.

    Args:
        program: Verified before anything is written.
        form: ``golden`` is QLinearConv written out where a certificate holds for every channel, and integer arithmetic
            elsewhere: 0 differing outputs are promised, with every option of ONNX Runtime. ``qdq`` is QuantizeLinear
            and DequantizeLinear around real operators, for runtimes that fuse them: equal integers are promised, with
            ONNX Runtime's default options, for the outputs that :func:`~hatlite.export.exact_outputs` names; behind
            additions, differences, products and int16 or int32 results float32 rounds in its own way. ``clip`` is the
            float network with the weights of the integer one and a Clip at each range, for runtimes that quantise by
            themselves; marches of powers of two have it.
        real: Float ends instead of integers.

    Returns:
        A model whose nodes are named after their operators and carry module path and source line as doc string.
        Metadata: march, form, scales and strides of the ports, task, and classes where the program has them.

    Raises:
        ProgramError: The program is invalid, the form unknown, two ports share a name, or an operator has no form.
    """
    if form not in FORMS:
        raise ProgramError(f"ONNX form is {form!r}; expected one of {', '.join(FORMS)}.{nearest(form, list(FORMS))}")
    verify(program)
    if hasattr(FORMS[form], "check"):
        FORMS[form].check(program)
    graph = OnnxGraph(_port_names(program))
    storage, rules, ends = FORMS[form].STORAGE, FORMS[form].RULES, FORMS[form].ENDS
    tensors: dict[str, str] = {}
    for port in program.inputs:
        graph.enter(f"input/{port.name}", "input")
        tensors[port.value] = ends.enter(graph, port, storage[port.dtype], program.values[port.value].limits, real)
    for op in program.ops:
        if type(op) not in rules:
            known = ", ".join(kind.__name__ for kind in rules)
            raise ProgramError(f"{op.kind} {op.name!r} ({op.source}) has no ONNX form; there is one for {known}.")
        graph.enter(op.name, str(op.source))
        tensors[op.output] = rules[type(op)](graph, op, program, *(tensors[name] for name in op.inputs))
    for port in program.outputs:
        graph.enter(f"output/{port.name}", "output")
        ends.leave(graph, port, tensors[port.value], program.values[port.value].limits, real)
    ports = ([_described(port, program, real) for port in side] for side in (program.inputs, program.outputs))
    return _model(graph.finish(program.name, *ports), FORMS[form].OPSET, _metadata(program, form))


def _port_names(program: IntProgram) -> list[str]:
    names = [port.name for port in (*program.inputs, *program.outputs)]
    for name in names:
        if names.count(name) > 1:
            raise ProgramError(f"{program.name}: {name!r} is an input and an output; ONNX needs two names.")
    return names


def _described(port: Port, program: IntProgram, real: bool) -> ValueInfoProto:
    height, width, channels = program.values[port.value].shape
    dtype = helper.np_dtype_to_tensor_dtype(np.dtype(np.float32 if real else port.dtype))
    meaning = "real numbers" if real else "real = scale · integer"
    return helper.make_tensor_value_info(
        port.name, dtype, ["N", channels, height, width], doc_string=f"(N, C, H, W), stride {port.stride}, {meaning}"
    )


def _metadata(program: IntProgram, form: str) -> dict[str, str]:
    ports: Sequence[Port] = (*program.inputs, *program.outputs)
    described: Mapping[str, Any] = {
        "task": program.metadata.get("task_name", program.name),
        **{key: program.metadata[key] for key in ("classes",) if key in program.metadata},
        "march": program.march,
        "form": form,
        "scales": {port.name: np.asarray(port.scale).tolist() for port in ports},
        "strides": {port.name: port.stride for port in ports},
        "hatlite": __version__,
    }
    return {key: item if isinstance(item, str) else json.dumps(item) for key, item in described.items()}


def _model(graph: Any, opset: int, metadata: Mapping[str, str]) -> ModelProto:
    model = helper.make_model(
        graph,
        producer_name="hatlite",
        producer_version=__version__,
        opset_imports=[helper.make_opsetid("", opset)],
        ir_version=IR_VERSIONS[opset],
    )
    helper.set_model_props(model, dict(metadata))
    checker.check_model(model)
    return model
