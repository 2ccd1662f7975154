"""Both ends of a form: an integer goes in and comes out as it was, whether the inside is integer or real."""

import numpy as np
import pytest
from onnx import TensorProto, helper
from onnx_runs import run

from hatlite.export.ends import INTEGER_ENDS, REAL_ENDS
from hatlite.export.onnx_graph import OnnxGraph
from hatlite.ops.integer.fixed_point import dequantize, quantize
from hatlite.program import Port
from hatlite.qparams import int_range


@pytest.mark.parametrize("ends", [INTEGER_ENDS, REAL_ENDS])
@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16"])
@pytest.mark.parametrize("real", [False, True])
def test_what_enters_leaves(ends, dtype, real):
    entry, end = Port("x", "x", dtype, 0.25), Port("y", "y", dtype, 0.25)
    graph = OnnxGraph(["x", "y"])
    storage = {"int8": np.uint8, "uint8": np.uint8, "int16": np.int32}[dtype] if ends is INTEGER_ENDS else np.float32
    limits = int_range(dtype)
    ends.leave(graph, end, ends.enter(graph, entry, storage, limits, real), limits, real)
    kind = TensorProto.FLOAT if real else helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    ports = [[helper.make_tensor_value_info(name, kind, ["N", 1, 1, "W"])] for name in ("x", "y")]
    model = helper.make_model(graph.finish("ends", *ports), opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    low, high = int_range(dtype)
    q = np.array([low, -1 if low else 1, 0, 7, high], dtype).reshape(1, 1, 5, 1)
    got = run(model, {"x": dequantize(q, 0.25) if real else q})["y"]
    np.testing.assert_array_equal(quantize(got, 0.25, dtype) if real else got, q)
