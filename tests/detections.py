"""Small data sets and detections, for tests of metrics."""

import torch

from hatlite.structures import Detections


def annotation(img_id, box, category=1, **values):
    """Return one object in COCO's form."""
    x1, y1, x2, y2 = box
    area = (x2 - x1) * (y2 - y1)
    entry = {"image_id": img_id, "category_id": category, "bbox": [x1, y1, x2 - x1, y2 - y1], "area": area}
    return entry | {"iscrowd": 0, "ignore": 0} | values


class Truth:
    """A data set of 200×200 images with the given annotations."""

    def __init__(self, *annotations, images=1, names=("cat", "dog")):
        self.content = {
            "images": [{"id": i, "height": 200, "width": 200, "file_name": f"{i}"} for i in range(1, images + 1)],
            "annotations": [{"id": i, **a} for i, a in enumerate(annotations, 1)],
            "categories": [{"id": i, "name": name} for i, name in enumerate(names, 1)],
        }

    def annotations(self):
        return self.content


def found(*rows):
    """Return detections from (box, score, label)."""
    boxes, scores, labels = zip(*rows, strict=True) if rows else ([], [], [])
    return Detections(
        torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4), torch.tensor(scores), torch.tensor(labels).long()
    )
