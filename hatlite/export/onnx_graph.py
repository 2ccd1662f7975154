"""A graph of ONNX in the making: every node carries the name of its operator and where that comes from."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import GraphProto, NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper

__all__ = ["OnnxGraph"]


class OnnxGraph:
    """Nodes and constants, each tensor with a name of its own.

    Args:
        reserved: Names that belong to the inputs and outputs of the graph.
    """

    def __init__(self, reserved: Iterable[str]) -> None:
        self._taken = set(reserved)
        self._constants: dict[tuple[str, tuple[int, ...], bytes], str] = {}
        self._nodes: list[NodeProto] = []
        self._initializers: list[TensorProto] = []
        self._owner, self._source = "", ""

    def enter(self, owner: str, source: str = "") -> None:
        """Name the nodes that follow after `owner`; `source`, a module path and source line, is their doc string."""
        self._owner, self._source = owner, source

    def node(self, kind: str, *inputs: str | NDArray[Any] | np.generic, into: str = "", **attributes: Any) -> str:
        """Append a node and return the name of its output.

        Args:
            kind: ONNX operator.
            inputs: Names of tensors, arrays that become constants, or ``""`` for an optional input that is left out.
            into: A reserved name to take for the output.
            attributes: Of the operator.
        """
        name = self._fresh(f"{self._owner}/{kind}")
        output = into or name
        self._append(kind, name, inputs, [output], attributes)
        return output

    def pair(self, kind: str, *inputs: str | NDArray[Any], **attributes: Any) -> tuple[str, str]:
        """Append a node with two outputs and return their names; arguments as :meth:`node` has them."""
        name = self._fresh(f"{self._owner}/{kind}")
        second = self._fresh(f"{name}/second")
        self._append(kind, name, inputs, [name, second], attributes)
        return name, second

    def cast(self, tensor: str, dtype: type[np.generic]) -> str:
        """Append a cast to a NumPy type."""
        return self.node("Cast", tensor, to=helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))

    def finish(self, name: str, inputs: Iterable[ValueInfoProto], outputs: Iterable[ValueInfoProto]) -> GraphProto:
        """Return the graph."""
        return helper.make_graph(self._nodes, name, list(inputs), list(outputs), self._initializers)

    def _append(
        self, kind: str, name: str, inputs: Iterable[Any], outputs: list[str], attributes: Mapping[str, Any]
    ) -> None:
        names = [item if isinstance(item, str) else self._constant(np.asarray(item)) for item in inputs]
        self._nodes.append(helper.make_node(kind, names, outputs, name=name, doc_string=self._source, **attributes))

    def _constant(self, array: NDArray[Any]) -> str:
        """Return the name of a constant; equal ones are stored once."""
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self._constants:
            name = self._constants[key] = self._fresh(f"{self._owner}/constant")
            self._initializers.append(numpy_helper.from_array(np.ascontiguousarray(array).reshape(array.shape), name))
        return self._constants[key]

    def _fresh(self, name: str) -> str:
        unique, count = name, 1
        while unique in self._taken:
            count += 1
            unique = f"{name}_{count}"
        self._taken.add(unique)
        return unique
