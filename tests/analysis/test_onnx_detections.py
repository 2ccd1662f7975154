"""Objects of a file that holds them as constants, against those that are expected."""

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from hatlite.analysis.onnx_detections import ExpectedObjects, verify_detections
from hatlite.errors import ProgramError
from hatlite.structures import Detections

BOXES = [[0.0, 0, 10, 10], [20, 20, 30, 40], [20, 20, 30, 40]]
SCORES, LABELS = [0.9, 0.8, 0.7], [0, 1, 0]


@pytest.fixture
def file(tmp_path):
    """Return the path of a file that finds `BOXES` in every image, and has one row more."""
    values = {
        "boxes": np.array([[*BOXES, [0, 0, 0, 0]]], np.float32),
        "scores": np.array([[*SCORES, 0]], np.float32),
        "labels": np.array([[*LABELS, -1]], np.int64),
    }
    nodes = [
        helper.make_node("Constant", [], [name], value=numpy_helper.from_array(value)) for name, value in values.items()
    ]
    image = helper.make_tensor_value_info("img", TensorProto.FLOAT, [1, 3, 8, 8])
    types = {"boxes": TensorProto.FLOAT, "scores": TensorProto.FLOAT, "labels": TensorProto.INT64}
    outputs = [helper.make_tensor_value_info(name, types[name], value.shape) for name, value in values.items()]
    graph = helper.make_graph(nodes, "g", [image], outputs)
    path = tmp_path / "objects.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def compare(file, boxes=BOXES, scores=SCORES, labels=LABELS, promised=True, factor=1.0):
    found = Detections(torch.tensor(boxes).reshape(-1, 4), torch.tensor(scores), torch.tensor(labels).long())
    sample = ExpectedObjects(torch.zeros(1, 3, 8, 8), found, lambda moved: moved * factor)
    return verify_detections(file, [sample, sample], form="clip", promised=promised)


def test_equal_objects_in_any_order(file):
    order = [2, 0, 1]
    report = compare(file, *([values[i] for i in order] for values in (BOXES, SCORES, LABELS)))
    assert report.passed and report.equal
    assert (report.images, report.expected, report.found, report.paired) == (2, 6, 6, 6)
    assert (report.pixels, report.score) == (0.0, 0.0)
    assert (
        "find the same objects in 2 images: 6 and 6, of which 6 are pairs; sides differ by up to 0 pixels"
        in report.text()
    )


def test_boxes_are_compared_where_the_detector_has_them(file):
    assert compare(file, boxes=[[2 * side for side in box] for box in BOXES], factor=2.0).equal


@pytest.mark.parametrize(
    ("changes", "pixels", "score", "paired"),
    [
        ({"boxes": [[0.0, 0, 10, 10.5], *BOXES[1:]]}, 0.5, 0.0, 6),
        ({"scores": [0.9, 0.75, 0.7]}, 0.0, 0.05, 6),
        ({"labels": [0, 2, 0]}, 0.0, 0.0, 4),
        ({"boxes": BOXES[:2], "scores": SCORES[:2], "labels": LABELS[:2]}, 0.0, 0.0, 4),
        ({"boxes": [], "scores": [], "labels": []}, 0.0, 0.0, 0),
        ({"boxes": [[0.0, 0, 4, 10], *BOXES[1:]]}, 0.0, 0.0, 4),  # too little in common to be one object
    ],
)
def test_what_differs_is_told(file, changes, pixels, score, paired):
    report = compare(file, **changes)
    assert not report.passed and report.paired == paired
    assert report.pixels == pytest.approx(pixels) and report.score == pytest.approx(score, abs=1e-6)
    assert "find NOT the same objects" in report.text()


def test_differences_within_the_limits_are_none(file):
    boxes = [[0.0, 0, 10, 10.009], *BOXES[1:]]
    assert compare(file, boxes=boxes, scores=[0.90009, 0.8, 0.7]).equal
    assert not compare(file, boxes=[[0.0, 0, 10, 10.011], *BOXES[1:]]).equal


def test_a_form_that_promises_nothing_has_to_find_most_of_them(file):
    boxes = [[0.0, 0, 10, 11], *BOXES[1:]]
    report = compare(file, boxes=boxes, promised=False)
    assert report.passed and not report.equal and report.share == 1.0
    said = "; the form clip promises no equal ones, and 100.0% that both find are enough (75% are expected)."
    assert report.text().endswith(said)
    fewer = compare(file, boxes=BOXES[:2], scores=SCORES[:2], labels=LABELS[:2], promised=False)
    assert fewer.passed and fewer.share == pytest.approx(0.8)


def test_wrong_objects_fail_where_nothing_is_promised_too(file):
    report = compare(file, labels=[0, 2, 0], promised=False)
    assert not report.passed and not report.to_dict()["passed"] and report.share == pytest.approx(2 / 3)
    assert report.text().endswith("and 66.7% that both find are NOT enough (75% are expected).")
    mirrored = compare(file, factor=-1.0, promised=False)
    assert not mirrored.passed and mirrored.paired == 0


def test_without_an_object_nothing_was_compared(file):
    report = verify_detections(file, [], form="float", promised=False)
    assert not report.passed
    assert "find no object in 0 images, so that nothing was compared; lower score_thr in" in report.text()


def test_a_file_that_is_none_is_refused(tmp_path):
    path = tmp_path / "broken.onnx"
    path.write_bytes(b"no model")
    with pytest.raises(ProgramError, match=r"broken.onnx: ONNX Runtime cannot load it \("):
        verify_detections(path, [], form="float", promised=True)
