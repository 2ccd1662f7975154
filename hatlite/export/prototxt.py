"""The detection meta-architecture: proto text of ``TIDLMetaArch``, which TI's import tool reads beside an ONNX file.

Of the detectors here it knows SSD (``caffe_ssd``) and RetinaNet (``tidl_retinanet``). Field by field:

- Classes are counted as logits are: with a background class ``num_classes`` is one more than there are classes and
  ``background_label_id`` is the last of them; without one, ids begin at 0 and ``background_label_id`` is −1.
- SSD's ``variance`` are the stds of the box coder; RetinaNet's scales are their reciprocals.
- ``top_k`` bounds the boxes of one class before suppression, ``keep_top_k`` those of the image after it; ``eta`` 1
  keeps the threshold of suppression as it is from box to box.
- ``data_layout`` SEPARATED: boxes and logits are outputs of their own. ``anchorbox_order`` 0: the scales of one ratio
  follow one another, then comes the next ratio.
"""

from collections.abc import Mapping
from typing import Any

from hatlite.errors import ProgramError
from hatlite.export.contract import DetectionContract, OctaveAnchors

__all__ = ["inexpressible", "meta_arch", "proto_text"]

OUTPUTS = ("boxes", "labels")
"""Names that the import tool gives to what it makes."""


class Word(str):
    """A value of an enumeration, which is written without quotes."""

    __slots__ = ()


def proto_text(message: Mapping[str, Any], indent: str = "") -> str:
    """Return `message` in the text format of protocol buffers.

    Args:
        message: Field → str, bool, number, :class:`Word`, a message, or a sequence of those for a repeated field.
        indent: In front of every line.
    """
    lines = []
    for name, value in message.items():
        for one in value if isinstance(value, (list, tuple)) else [value]:
            if isinstance(one, Mapping):
                lines.append(f"{indent}{name} {{\n{proto_text(one, indent + '  ')}{indent}}}\n")
            else:
                lines.append(f"{indent}{name}: {_scalar(one)}\n")
    return "".join(lines)


def _scalar(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str) and not isinstance(value, Word):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'
    return str(value)


def inexpressible(contract: DetectionContract) -> str | None:
    """Return why the message has no fields for `contract`, as the end of a sentence; None if it has."""
    if any(contract.means):
        return f"it has no place for the box coder's means {list(contract.means)}"
    if contract.generated is None or contract.background == isinstance(contract.generated, OctaveAnchors):
        own = "SSDAnchorGenerator" if contract.background else "AnchorGenerator"
        return f"it describes the anchors of {own} alone, for a head like this"
    return None


def meta_arch(contract: DetectionContract) -> str:
    """Return the proto text for the network whose outputs `contract` names.

    Raises:
        ProgramError: The message has no fields for it.
    """
    problem = inexpressible(contract)
    if problem is not None:
        raise ProgramError(f"{contract.kind} cannot be told as a detection meta-architecture: {problem}.")
    height, width = contract.size
    head = {
        "box_input": [level.box_output for level in contract.levels],
        "class_input": [level.class_output for level in contract.levels],
        "output": OUTPUTS,
        "in_width": width,
        "in_height": height,
        "score_converter": Word("SOFTMAX" if contract.background else "SIGMOID"),
    }
    own = _ssd(contract) if contract.background else _retinanet(contract)
    tail = {"detection_output_param": _post_process(contract), "framework": "MMDetection"}
    name, field = ("ssd", "caffe_ssd") if contract.background else ("retinanet", "tidl_retinanet")
    return proto_text({"name": name, field: {"name": name, **head, **own, **tail}})


def _ssd(contract: DetectionContract) -> dict[str, Any]:
    assert contract.generated is not None and not isinstance(contract.generated, OctaveAnchors)
    priors = [
        {
            "min_size": float(sizes.min_size),
            "max_size": float(sizes.max_size),
            "aspect_ratio": [float(ratio) for ratio in sizes.ratios],
            "flip": True,
            "clip": False,
            "variance": [float(std) for std in contract.stds],
            "step": float(level.stride),
            "offset": 0.5,
        }
        for level, sizes in zip(contract.levels, contract.generated, strict=True)
    ]
    return {"prior_box_param": priors, "data_layout": Word("SEPARATED")}


def _retinanet(contract: DetectionContract) -> dict[str, Any]:
    anchors = contract.generated
    assert isinstance(anchors, OctaveAnchors)
    scales = dict(zip(("x", "y", "width", "height"), (1 / std for std in contract.stds), strict=True))
    anchor_param = {
        "aspect_ratio": [float(ratio) for ratio in anchors.ratios],
        "octave_base_scale": float(anchors.octave_base_scale),
        "scales_per_octave": anchors.scales_per_octave,
    }
    return {
        "anchorbox_order": 0,
        **{f"{name}_scale": scale for name, scale in scales.items()},
        "x_offset": float(anchors.center_offset),
        "y_offset": float(anchors.center_offset),
        "anchor_param": anchor_param,
    }


def _post_process(contract: DetectionContract) -> dict[str, Any]:
    top_k = contract.max_per_img if contract.nms_pre is None else contract.nms_pre
    return {
        "num_classes": contract.logits,
        "share_location": True,
        "background_label_id": contract.num_classes if contract.background else -1,
        "nms_param": {"nms_threshold": contract.iou_threshold, "top_k": top_k, "eta": 1.0},
        "code_type": Word("CENTER_SIZE"),
        "keep_top_k": contract.max_per_img,
        "confidence_threshold": contract.score_threshold,
    }
