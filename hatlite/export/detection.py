"""Decoding and suppression as nodes behind a network, so that a plain runtime goes from an image to objects.

The steps are those of the detector's own decoder, in its order, on float32. Of equal scores the earlier anchor wins,
then the earlier class: TopK and NonMaxSuppression prefer the lower index, and indices run as the decoder's do. Every
image has as many rows as it may have objects. Legend: N images, A anchors of all levels, C classes, K rows.
"""

import numpy as np
from onnx import ModelProto, TensorProto, ValueInfoProto, checker, helper

from hatlite.errors import ProgramError
from hatlite.export.contract import AnchorLevel, DetectionContract
from hatlite.export.onnx_graph import OnnxGraph

__all__ = ["DETECTION_OUTPUTS", "with_detection"]

DETECTION_OUTPUTS = ("boxes", "scores", "labels")

NOTHING = np.float32(-1)
"""Score of what is no object; every real one is 0 or more."""

_CORNERS, _SIDES = slice(0, 2), slice(2, 4)


def with_detection(model: ModelProto, contract: DetectionContract) -> ModelProto:
    """Return `model` with three outputs in place of its own: the objects of every image, best first.

    ``boxes`` (N, K, 4) float32 are xyxy in pixels of the network's image, cut off at it; ``scores`` (N, K) float32;
    ``labels`` (N, K) int64. K is ``max_per_img``. Rows behind the last object have the label −1, the score 0 and a box
    of zeros.

    Args:
        model: With float32 outputs of the names of `contract`; it is not changed.
        contract: How they are read.

    Raises:
        ProgramError: The model lacks one of those outputs, or one is not float32.
    """
    _require_outputs(model, contract)
    names = [name for node in model.graph.node for name in (*node.input, *node.output)]
    graph = OnnxGraph({*names, *(item.name for item in model.graph.initializer), *DETECTION_OUTPUTS})
    graph.enter("detection", contract.kind)
    _decode(graph, contract)
    added = graph.finish("detection", (), ())
    whole = ModelProto()
    whole.CopyFrom(model)
    whole.graph.node.extend(added.node)
    whole.graph.initializer.extend(added.initializer)
    del whole.graph.output[:]
    whole.graph.output.extend(_outputs(contract))
    checker.check_model(whole)
    return whole


def _require_outputs(model: ModelProto, contract: DetectionContract) -> None:
    types = {output.name: output.type.tensor_type.elem_type for output in model.graph.output}
    for name in (name for level in contract.levels for name in (level.class_output, level.box_output)):
        if types.get(name) != TensorProto.FLOAT:
            has = "integers" if name in types else "not there"
            raise ProgramError(
                f"Detection needs the float32 output {name!r}, but it is {has}; the model has {', '.join(types)}."
                " Export it with real ends."
            )


def _outputs(contract: DetectionContract) -> list[ValueInfoProto]:
    rows = _rows(contract)
    meanings = {
        "boxes": (TensorProto.FLOAT, [4], "xyxy in pixels of the network's image; 0 in rows without object"),
        "scores": (TensorProto.FLOAT, [], "0…1, descending; 0 in rows without object"),
        "labels": (TensorProto.INT64, [], "classes from 0; −1 in rows without object"),
    }
    return [
        helper.make_tensor_value_info(name, dtype, ["N", rows, *shape], doc_string=meaning)
        for name, (dtype, shape, meaning) in meanings.items()
    ]


def _rows(contract: DetectionContract) -> int:
    return min(contract.max_per_img, len(contract.anchors) * contract.num_classes)


def _decode(graph: OnnxGraph, contract: DetectionContract) -> None:
    logits = _joined(graph, [level.class_output for level in contract.levels], contract.logits)
    deltas = _joined(graph, [level.box_output for level in contract.levels], 4)
    probability = _probability(graph, logits, contract)
    boxes = _boxes(graph, deltas, contract)
    candidate = _with_area(graph, boxes)
    best = _best_of_levels(graph, probability, contract)
    candidate = candidate if best is None else graph.node("And", candidate, best)
    _suppress(graph, boxes, graph.node("Where", candidate, probability, NOTHING), contract)


def _joined(graph: OnnxGraph, names: list[str], channels: int) -> str:
    """Append (N, A, channels) of all levels: row after row, cell after cell, the anchors of a cell in turn."""
    shape = np.array([0, -1, channels], np.int64)  # 0 keeps the batch
    last = [graph.node("Transpose", name, perm=[0, 2, 3, 1]) for name in names]
    return graph.node("Concat", *(graph.node("Reshape", level, shape) for level in last), axis=1)


def _part(graph: OnnxGraph, x: str, part: slice, axis: int = 2) -> str:
    start, stop, axes = (np.array([number], np.int64) for number in (part.start, part.stop, axis))
    return graph.node("Slice", x, start, stop, axes)


def _probability(graph: OnnxGraph, logits: str, contract: DetectionContract) -> str:
    """Append (N, A, C), background left out."""
    if not contract.background:
        return graph.node("Sigmoid", logits)
    return _part(graph, graph.node("Softmax", logits, axis=-1), slice(0, contract.num_classes))


def _boxes(graph: OnnxGraph, deltas: str, contract: DetectionContract) -> str:
    """Append (N, A, 4), xyxy within the image."""
    low, high = contract.anchors[:, _CORNERS], contract.anchors[:, _SIDES]
    centre, side = (low + high) / np.float32(2), high - low
    stds, means = (np.asarray(values, np.float32) for values in (contract.stds, contract.means))
    deltas = graph.node("Add", graph.node("Mul", deltas, stds), means)
    moved = graph.node("Add", graph.node("Mul", _part(graph, deltas, _CORNERS), side), centre)
    growth = graph.node("Min", _part(graph, deltas, _SIDES), np.float32(contract.largest_growth))
    half = graph.node("Div", graph.node("Mul", graph.node("Exp", growth), side), np.float32(2))
    corners = (graph.node(kind, moved, half) for kind in ("Sub", "Add"))
    boxes = graph.node("Max", graph.node("Concat", *corners, axis=2), np.float32(0))
    height, width = contract.size
    return graph.node("Min", boxes, np.array([width, height, width, height], np.float32))


def _with_area(graph: OnnxGraph, boxes: str) -> str:
    """Append (N, A, 1) bool."""
    longer = graph.node("Greater", _part(graph, boxes, _SIDES), _part(graph, boxes, _CORNERS))
    return graph.node("And", _part(graph, longer, slice(0, 1)), _part(graph, longer, slice(1, 2)))


def _best_of_levels(graph: OnnxGraph, probability: str, contract: DetectionContract) -> str | None:
    """Append (N, A, 1) bool: among the `nms_pre` most probable anchors of its level; None if that is all of them."""
    nms_pre, begin, kept = contract.nms_pre, 0, []
    if nms_pre is None or all(level.anchors <= nms_pre for level in contract.levels):
        return None
    ranking = _top(graph, probability, 1, axis=2)[0]
    for level in contract.levels:
        kept.append(
            _best_of_level(graph, _part(graph, ranking, slice(begin, begin + level.anchors), 1), level, nms_pre)
        )
        begin += level.anchors
    return graph.node("Cast", graph.node("Concat", *kept, axis=1), to=TensorProto.BOOL)


def _best_of_level(graph: OnnxGraph, ranking: str, level: AnchorLevel, nms_pre: int) -> str:
    """Append (N, anchors of the level, 1) float32, 1 for those that stay."""
    values, indices = _top(graph, ranking, min(nms_pre, level.anchors), axis=1)
    none, ones = _filled(graph, ranking, np.float32(0)), _filled(graph, values, np.float32(1))
    return graph.node("ScatterElements", none, indices, ones, axis=1)


def _top(graph: OnnxGraph, x: str, count: int, axis: int) -> tuple[str, str]:
    """Append values and indices of the largest, descending; of equal ones the earlier comes first."""
    return graph.pair("TopK", x, np.array([count], np.int64), axis=axis)


def _filled(graph: OnnxGraph, like: str, value: np.float32) -> str:
    filling = helper.make_tensor("value", TensorProto.FLOAT, [1], [float(value)])
    return graph.node("ConstantOfShape", graph.node("Shape", like), value=filling)


def _suppress(graph: OnnxGraph, boxes: str, scores: str, contract: DetectionContract) -> None:
    """Append the three outputs; `scores` (N, A, C) has -1 where there is no candidate."""
    by_class = graph.node("Transpose", scores, perm=[0, 2, 1])
    rows, classes = _rows(contract), np.int64(contract.num_classes)
    below = np.nextafter(np.float32(contract.score_threshold), NOTHING)  # the node wants more than its threshold
    limits = (np.array([rows], np.int64), np.array([contract.iou_threshold], np.float32), np.array([below]))
    survivors = graph.node("NonMaxSuppression", boxes, by_class, *limits)  # rows of image, class, anchor
    left = graph.node("GatherND", by_class, survivors)
    kept = graph.node("ScatterND", _filled(graph, by_class, NOTHING), survivors, left)
    flat = graph.node("Reshape", graph.node("Transpose", kept, perm=[0, 2, 1]), np.array([0, -1], np.int64))
    best, index = _top(graph, flat, rows, axis=1)
    found = graph.node("GreaterOrEqual", best, np.float32(0))
    anchor = graph.node("Unsqueeze", graph.node("Div", index, classes), np.array([2], np.int64))
    of_found = graph.node("GatherND", boxes, anchor, batch_dims=1)
    mask = graph.node("Unsqueeze", found, np.array([2], np.int64))
    graph.node("Where", mask, of_found, np.float32(0), into="boxes")
    graph.node("Where", found, best, np.float32(0), into="scores")
    graph.node("Where", found, graph.node("Mod", index, classes), np.int64(-1), into="labels")
