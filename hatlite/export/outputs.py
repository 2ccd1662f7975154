"""What goes into an ONNX file and comes out of it, told to whoever decodes: in its metadata, as JSON and as a table."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from onnx import ModelProto, ValueInfoProto, helper

__all__ = ["describe_ports", "outputs_table", "with_note"]


def describe_ports(
    ports: Sequence[ValueInfoProto],
    shapes: Mapping[str, tuple[int, int, int]],
    strides: Mapping[str, int],
    scales: Mapping[str, ArrayLike],
) -> list[dict[str, Any]]:
    """Return one entry per input or output: ``name``, ``stride``, ``scale``, ``dtype``, ``layout`` and ``shape``.

    Args:
        ports: Of the graph, (N, C, H, W).
        shapes: (C, H, W) of each.
        strides: Pixels of the image per cell; 1 for those that are left out.
        scales: Real value of one step; those that are left out hold real numbers, with a scale of 1.
    """
    return [
        {
            "name": port.name,
            "stride": strides.get(port.name, 1),
            "scale": np.asarray(scales.get(port.name, 1.0)).tolist(),
            "dtype": str(helper.tensor_dtype_to_np_dtype(port.type.tensor_type.elem_type)),
            "layout": "NCHW",
            "shape": ["N", *shapes[port.name]],
        }
        for port in ports
    ]


def with_note(model: ModelProto, note: Mapping[str, Any]) -> ModelProto:
    """Return `model` with the entries of `note` in its metadata, in place of older ones of these names."""
    noted = ModelProto()
    noted.CopyFrom(model)
    kept = {entry.key: entry.value for entry in model.metadata_props}
    texts = {key: value if isinstance(value, str) else json.dumps(value) for key, value in note.items()}
    helper.set_model_props(noted, kept | texts)
    return noted


def outputs_table(outputs: Sequence[Mapping[str, Any]]) -> str:
    """Return one line per entry of :func:`describe_ports`."""
    width = max(len(output["name"]) for output in outputs)
    lines = [f"{'output':{width}}  stride  {'dtype':7}  {'scale':17}  shape ({', '.join(outputs[0]['layout'])})"]
    for output in outputs:
        several = isinstance(output["scale"], list)
        scale = "one per channel" if several else f"{output['scale']:.9g}"
        shape = ", ".join(map(str, output["shape"]))
        lines.append(f"{output['name']:{width}}  {output['stride']:6}  {output['dtype']:7}  {scale:17}  ({shape})")
    return "\n".join(lines)
