"""A network as TensorBoard draws it: a node for each call of a module, or for each site of a fake-quant graph."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from tensorboard.compat.proto.attr_value_pb2 import AttrValue
from tensorboard.compat.proto.graph_pb2 import GraphDef
from tensorboard.compat.proto.node_def_pb2 import NodeDef
from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto
from torch import nn

from hatlite.engine.evaluation import evaluating
from hatlite.graph import capture
from hatlite.quantization import FakeQuantGraph

__all__ = ["network_graph"]


@dataclass(frozen=True)
class _Node:
    """One box of the picture: `name` is unique, `path` is where it stands, `shape` leaves the batch out."""

    name: str
    path: str
    kind: str
    inputs: tuple[str, ...]
    shape: tuple[int, ...] | None = None


def network_graph(network: nn.Module, image_shape: tuple[int, int, int]) -> GraphDef:
    """Return the graph of `network`, with the shapes of all results; modules of modules are boxes in boxes.

    Args:
        network: ``img → dict[str, Tensor]``, float or fake-quant.
        image_shape: (C, H, W) of an image that it takes.

    Raises:
        CaptureError: The network is float and cannot be captured.
    """
    nodes, outputs = _sites(network) if isinstance(network, FakeQuantGraph) else _calls(network, image_shape)
    ends = [_Node(f"output {name}", name, "Output", (source,)) for name, source in outputs.items()]
    return _drawn([*nodes, *ends])


def _sites(graph: FakeQuantGraph) -> tuple[list[_Node], dict[str, str]]:
    def inputs(site):
        return tuple(source.name for source in site.inputs)

    every = graph.sites.values()
    nodes = [_Node(s.name, s.path, f"{type(s).__name__} {s.dtype}", inputs(s), s.shape) for s in every]
    return nodes, graph.outputs


def _calls(network: nn.Module, image_shape: tuple[int, int, int]) -> tuple[list[_Node], dict[str, str]]:
    captured = capture(network)
    weight = next(network.parameters())
    with evaluating(network):
        values = captured.run(weight.new_zeros(1, *image_shape))
    shapes = {name: tuple(value.shape[1:]) for name, value in values.items() if isinstance(value, torch.Tensor)}
    start = _Node(captured.input, captured.input, "Input", (), image_shape)
    nodes = [_Node(c.name, c.path, type(c.module).__name__, c.inputs, shapes.get(c.name)) for c in captured.calls]
    return [start, *nodes], captured.outputs


def _drawn(nodes: Iterable[_Node]) -> GraphDef:
    """Return `nodes`, those of one path told apart by a number; TensorBoard takes a slash for a box in a box."""
    graph, names, calls = GraphDef(), {}, Counter[str]()
    for node in nodes:
        path = node.path.replace(".", "/")
        calls[path] += 1
        names[node.name] = path if calls[path] == 1 else f"{path}_{calls[path]}"
        drawn = NodeDef(name=names[node.name], op=node.kind, input=[names[name] for name in node.inputs])
        if node.shape is not None:
            drawn.attr["_output_shapes"].CopyFrom(AttrValue(list=AttrValue.ListValue(shape=[_shape(node.shape)])))
        graph.node.append(drawn)
    return graph


def _shape(shape: tuple[int, ...]) -> TensorShapeProto:
    return TensorShapeProto(dim=[TensorShapeProto.Dim(size=size) for size in (-1, *shape)])
