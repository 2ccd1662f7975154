"""How detections are shown, as a config says it."""

from collections.abc import Sequence

import numpy as np

from hatlite.analysis.pictures import describe_detections, draw_detections
from hatlite.errors import ConfigError
from hatlite.registry import OBJECT_REGISTRY
from hatlite.structures import Detections

__all__ = ["DetViz"]


@OBJECT_REGISTRY.register
class DetViz:
    """Draws boxes and lists them.

    Args:
        score_threshold: Smallest score to show, 0…1.
        is_plot: Ignored: pictures are written to files, and no screen is needed. Accepted because configs of this
            format name it.
        corners: Draw brackets at the corners of boxes, in place of whole lines.
        enlarge: Enlarge small pictures by a whole factor, so that names can be read.

    Raises:
        ConfigError: The threshold lies outside 0…1.
    """

    def __init__(
        self, score_threshold: float = 0.5, is_plot: bool = False, *, corners: bool = False, enlarge: bool = True
    ) -> None:
        if not 0 <= score_threshold <= 1:
            raise ConfigError(f"The score threshold is {score_threshold}; expected a number in 0…1, such as 0.3.")
        self.score_threshold, self.corners, self.enlarge = score_threshold, corners, enlarge

    def __call__(self, image: np.ndarray, detections: Detections, classes: Sequence[str]) -> np.ndarray:
        """Return `image`, (H, W, 3) uint8 RGB, with boxes on it; enlarged where it is small and may be."""
        return draw_detections(
            image, detections, classes, self.score_threshold, corners=self.corners, enlarge=self.enlarge
        )

    def lines(self, detections: Detections, classes: Sequence[str]) -> list[str]:
        """Return a line for each box that is drawn: class, score, x1 y1 x2 y2 in pixels."""
        return describe_detections(detections, classes, self.score_threshold)
