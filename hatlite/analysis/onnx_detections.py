"""Does an ONNX file with decoding inside find the objects that the detector finds?"""

import os
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import onnxruntime
import torch

from hatlite.analysis.onnx_session import open_session
from hatlite.ops.boxes import iou
from hatlite.structures import Detections

__all__ = ["LARGEST_PIXELS", "LARGEST_SCORE", "LEAST_PAIRED", "DetectionReport", "ExpectedObjects", "verify_detections"]

LARGEST_PIXELS, LARGEST_SCORE = 0.01, 1e-4
"""Differences of a side and of a score that float32 may make on its way."""

LEAST_PAIRED = 0.75
"""Least share of the objects that both find where equal ones are not promised; docs/arithmetic.md, section 6, has what
files that are right were measured at."""

SAME_OBJECT = 0.5
"""Least IoU of two boxes that are taken for one object."""


class ExpectedObjects(NamedTuple):
    """One image and what is in it.

    Attributes:
        img: (1, 3, H, W) float32.
        detections: What the detector finds.
        place: Brings boxes (K, 4) of the network's image to where those of `detections` are.
    """

    img: torch.Tensor
    detections: Detections
    place: Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class DetectionReport:
    """What was compared.

    Attributes:
        form: Of the network in the file.
        promised: Whether equal objects are promised for it.
        runtime: Version of ONNX Runtime.
        images: Number of them.
        expected: Objects that the detector found.
        found: Objects that the file found.
        paired: Objects that both found: of one class, with an IoU of at least 0.5.
        pixels: Largest difference of a side among the pairs.
        score: Largest difference of a score among the pairs.
    """

    form: str
    promised: bool
    runtime: str
    images: int
    expected: int
    found: int
    paired: int
    pixels: float
    score: float

    @property
    def equal(self) -> bool:
        """Whether there are objects, and every one has its partner within the limits."""
        alone = self.expected + self.found - 2 * self.paired
        return self.paired > 0 and not alone and self.pixels <= LARGEST_PIXELS and self.score <= LARGEST_SCORE

    @property
    def passed(self) -> bool:
        """Whether what was promised holds, else `LEAST_PAIRED`; without an object nothing could show it."""
        return self.equal or (not self.promised and self.share >= LEAST_PAIRED)

    @property
    def share(self) -> float:
        """Of all objects, those that both found; 0 if there are none."""
        return 2 * self.paired / max(self.expected + self.found, 1)

    def text(self) -> str:
        """Return one sentence."""
        if not self.expected + self.found:
            return (
                f"ONNX Runtime {self.runtime} and the detector find no object in {self.images} images, so that nothing"
                " was compared; lower score_thr in config['model']['post_process']['test_cfg']."
            )
        verdict = "the same objects" if self.equal else "NOT the same objects"
        more = "" if self.promised else self._unpromised()
        return (
            f"ONNX Runtime {self.runtime} and the detector find {verdict} in {self.images} images: {self.found:,} and"
            f" {self.expected:,}, of which {self.paired:,} are pairs; sides differ by up to {self.pixels:.3g} pixels"
            f" ({LARGEST_PIXELS:g} is allowed) and scores by up to {self.score:.3g} ({LARGEST_SCORE:g}){more}."
        )

    def _unpromised(self) -> str:
        enough = "enough" if self.passed else "NOT enough"
        return (
            f"; the form {self.form} promises no equal ones, and {self.share:.1%} that both find are {enough}"
            f" ({LEAST_PAIRED:.0%} are expected)"
        )

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {"passed": self.passed, **asdict(self)}


def verify_detections(
    path: str | os.PathLike[str], samples: Iterable[ExpectedObjects], *, form: str, promised: bool
) -> DetectionReport:
    """Run the file at `path` on `samples` and compare every object.

    Args:
        path: A file with the outputs of :data:`hatlite.export.detection.DETECTION_OUTPUTS`.
        samples: Images with what the detector finds in them.
        form: Of the network in the file, for the report.
        promised: Whether equal objects are promised for it.

    Raises:
        ProgramError: ONNX Runtime cannot load the file.
    """
    session = open_session(path)
    images = expected = found = paired = 0
    pixels = score = 0.0
    for sample in samples:
        ours = _objects(session, sample)
        mine, theirs = _pairs(ours, sample.detections)
        images, paired = images + 1, paired + len(mine)
        expected, found = expected + len(sample.detections), found + len(ours)
        pixels = max(pixels, _largest(ours.boxes[mine] - sample.detections.boxes[theirs]))
        score = max(score, _largest(ours.scores[mine] - sample.detections.scores[theirs]))
    counts = {"images": images, "expected": expected, "found": found, "paired": paired}
    return DetectionReport(form, promised, onnxruntime.__version__, pixels=pixels, score=score, **counts)


def _objects(session: onnxruntime.InferenceSession, sample: ExpectedObjects) -> Detections:
    """Return what the file finds, rows without object left out."""
    name = session.get_inputs()[0].name
    boxes, scores, labels = (torch.from_numpy(rows[0]) for rows in session.run(None, {name: sample.img.numpy()}))
    real = labels >= 0
    return Detections(sample.place(boxes[real]), scores[real], labels[real])


def _pairs(ours: Detections, theirs: Detections) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the indices of objects that are the same in both, the nearest first."""
    distance = (ours.boxes[:, None] - theirs.boxes[None]).abs().amax(dim=-1)
    same = (ours.labels[:, None] == theirs.labels[None]) & (iou(ours.boxes[:, None], theirs.boxes[None]) >= SAME_OBJECT)
    rows, columns = same.nonzero(as_tuple=True)
    free_rows, free_columns, pairs = set(rows.tolist()), set(columns.tolist()), []
    for index in distance[rows, columns].argsort(stable=True).tolist():
        row, column = int(rows[index]), int(columns[index])
        if row in free_rows and column in free_columns:
            free_rows.remove(row)
            free_columns.remove(column)
            pairs.append((row, column))
    mine, partners = torch.tensor(pairs, dtype=torch.int64).reshape(-1, 2).unbind(dim=1)
    return mine, partners


def _largest(differences: torch.Tensor) -> float:
    return float(differences.abs().max()) if differences.numel() else 0.0
