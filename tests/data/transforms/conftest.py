import numpy as np
import pytest


def _make_sample(height=48, width=64, boxes=((8, 12, 40, 36),), classes=None, paint=True):
    """A black picture with white rectangles on its boxes."""
    img = np.zeros((height, width, 3), np.uint8)
    boxes = np.array(boxes, np.float32).reshape(-1, 4)
    for x1, y1, x2, y2 in boxes.astype(int) if paint else ():
        img[y1:y2, x1:x2] = 255
    return {
        "img": img,
        "gt_bboxes": boxes,
        "gt_classes": np.array(range(len(boxes)) if classes is None else classes, np.int64),
        "img_id": 7,
        "img_name": "seven.jpg",
        "orig_size": (height, width),
        "matrix": np.eye(3),
    }


def _bright_box(img):
    """Edges (x1, y1, x2, y2) of the pixels that are more white than black."""
    ys, xs = np.nonzero(img[..., 0] > 127)
    return np.array([xs.min(), ys.min(), xs.max() + 1, ys.max() + 1], np.float32)


@pytest.fixture(scope="session")
def make_sample():
    return _make_sample


@pytest.fixture(scope="session")
def bright_box():
    return _bright_box


@pytest.fixture
def rng():
    return np.random.default_rng(0)
