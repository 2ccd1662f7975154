"""An ONNX file and what is written beside it: what its outputs mean, and who makes objects of them."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import ArrayLike

from hatlite.engine.detection_contract import contract_of
from hatlite.errors import ConfigError, DataError
from hatlite.export import DetectionContract, inexpressible, meta_arch
from hatlite.extras import import_extra
from hatlite.files import whole_file

if TYPE_CHECKING:
    from onnx import ModelProto

__all__ = ["OnnxNetwork", "write_onnx"]


@dataclass(frozen=True)
class OnnxNetwork:
    """A network that is about to become a file.

    Attributes:
        model: What is written.
        detector: Around the network; its own network does not matter.
        shapes: (C, H, W) of every input and output by its name.
        strides: Pixels of the image per cell of an output.
        scales: Real value of one step of inputs and outputs; empty where they are real numbers.
        origin: What says the size of the image, for messages.
        metadata: Further entries of the note: task, classes, form, and what pixels become before they enter.
    """

    model: "ModelProto"
    detector: Any
    shapes: Mapping[str, tuple[int, int, int]]
    strides: Mapping[str, int]
    scales: Mapping[str, ArrayLike]
    origin: str = "the network"
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def contract(self) -> DetectionContract | None:
        """Return how the detector reads the outputs; None if it has no anchors.

        Raises:
            BuildError: As :func:`~hatlite.engine.detection_contract.contract_of` says.
            DataError: The detector takes no image of this size.
        """
        (image,) = (port.name for port in self.model.graph.input)
        sizes = {name: shape[1:] for name, shape in self.shapes.items()}
        try:
            return contract_of(self.detector, sizes[image], sizes)
        except DataError as problem:
            height, width = sizes[image]
            raise DataError(
                f"{self.origin} is made for images of {height}×{width} (height×width), and config['model'] is not:"
                f" {problem}"
            ) from problem


def write_onnx(network: OnnxNetwork, out: Path, *, detect: bool = False) -> str:
    """Write `network` to `out` with a note in its metadata, and beside it what belongs to it.

    Without `detect` the note also becomes ``<out>.json``, and where the outputs are real numbers and the detector has a
    detection meta-architecture, that becomes ``<out>.prototxt``; one that an earlier file of this name had goes.

    Args:
        network: What is written.
        out: Ends in ``.onnx``.
        detect: With decoding and suppression in the file.

    Returns:
        Lines to print: the files, the outputs, and who decodes them.

    Raises:
        ConfigError: `out` has another suffix, or the detector has nothing to put into the file.
        DataError: The detector takes no image of this size.
        OutputError: A file cannot be written.
    """
    if out.suffix != ".onnx":
        raise ConfigError(f"--out is {out}; expected a name that ends in .onnx, beside which .json and .prototxt lie.")
    return _write_objects(network, out) if detect else _write_outputs(network, out)


def _write_objects(network: OnnxNetwork, out: Path) -> str:
    contract = network.contract()
    if contract is None:
        raise ConfigError(
            f"--detect puts decoding with anchors into the file, and {_kind(network.detector)} has none; leave it out:"
            " the file then ends at named outputs, and the JSON file beside it says what they mean to the host."
        )
    model = import_extra("hatlite.export.detection", "onnx").with_detection(network.model, contract)
    rows = model.graph.output[0].type.tensor_type.shape.dim[1].dim_value
    decoding = (
        f"in this file: boxes (N, {rows}, 4), scores (N, {rows}) and labels (N, {rows}), best first, boxes in pixels of"
        " the network's image; rows behind the last object have the label -1"
    )
    _write(import_extra("hatlite.export.outputs", "onnx").with_note(model, _note(network, decoding)), out)
    return f"Written: {out}\nDecoding: {decoding}."


def _write_outputs(network: OnnxNetwork, out: Path) -> str:
    outputs = import_extra("hatlite.export.outputs", "onnx")
    graph = network.model.graph
    ports = (network.shapes, network.strides, network.scales)
    inputs, described = (outputs.describe_ports(side, *ports) for side in (graph.input, graph.output))
    text, decoding = _decoding(network, out)
    note = _note(network, decoding) | {"inputs": inputs, "outputs": described}
    _write(outputs.with_note(network.model, note), out)
    files = [out, out.with_suffix(".json")]
    with whole_file(files[-1]) as unfinished:
        unfinished.write_text(json.dumps(note, indent=2) + "\n", encoding="utf-8")
    prototxt = out.with_suffix(".prototxt")
    if text is None:
        prototxt.unlink(missing_ok=True)  # of an earlier file, whose outputs had other names or types
    else:
        files.append(prototxt)
        with whole_file(prototxt) as unfinished:
            unfinished.write_text(text, encoding="utf-8")
    written = "\n".join(f"Written: {file}" for file in files)
    return f"{written}\n{outputs.outputs_table(described)}\nDecoding: {decoding}."


def _decoding(network: OnnxNetwork, out: Path) -> tuple[str | None, str]:
    """Return the meta-architecture, None if there is none to write, and who makes objects of the outputs."""
    detector = network.detector
    decoder = getattr(detector, "post_process", None)
    kind = _kind(detector)
    if decoder is None:
        return None, f"on the host; {kind} has no post_process that could be told of"
    contract = network.contract()
    host = f"on the host, by what {type(decoder).__name__} does with these outputs"
    if contract is None:
        return None, f"{host}; there is no detection meta-architecture for {kind}"
    if network.scales:
        return None, f"{host} times their scales; with --real there is a detection meta-architecture for {kind}"
    problem = inexpressible(contract)
    if problem is not None:
        return None, f"{host}; the detection meta-architecture does not suit: {problem}"
    return meta_arch(contract), f"by the detection meta-architecture in {out.with_suffix('.prototxt').name}, or {host}"


def _note(network: OnnxNetwork, decoding: str) -> dict[str, Any]:
    return {**network.metadata, "decoding": decoding}


def _kind(detector: Any) -> str:
    return "a config without model" if detector is None else type(detector).__name__


def _write(model: "ModelProto", out: Path) -> None:
    with whole_file(out) as unfinished:
        unfinished.write_bytes(model.SerializeToString())
