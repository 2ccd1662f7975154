import numpy as np
from onnx import numpy_helper

from hatlite.export.onnx_graph import OnnxGraph


def test_names_are_unique_constants_shared_and_owners_named():
    graph = OnnxGraph(["op/Add", "y"])
    graph.enter("op", "backbone.stem net.py:3")
    first = graph.node("Add", "x", np.float32(2))
    second = graph.node("Add", first, np.float32(2))
    graph.node("Mul", second, np.float64(2), into="y")
    made = graph.finish("g", [], [])
    assert (first, second) == ("op/Add_2", "op/Add_3")
    assert [list(node.input) for node in made.node] == [
        ["x", "op/constant"],
        ["op/Add_2", "op/constant"],
        ["op/Add_3", "op/constant_2"],
    ]
    assert made.node[2].output[0] == "y" and made.node[2].name == "op/Mul"
    assert {node.doc_string for node in made.node} == {"backbone.stem net.py:3"}
    assert [numpy_helper.to_array(item).dtype.name for item in made.initializer] == ["float32", "float64"]
    assert [numpy_helper.to_array(item).shape for item in made.initializer] == [(), ()]
