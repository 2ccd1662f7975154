import numpy as np
import pytest
import torch

from hatlite.analysis import DetViz
from hatlite.errors import ConfigError
from hatlite.structures import Detections

FOUND = Detections(
    torch.tensor([[2.0, 2, 12, 12], [20, 20, 30, 30]]),
    torch.tensor([0.9, 0.4]),
    torch.tensor([0, 1], dtype=torch.int64),
)


def test_what_scores_enough_is_drawn_and_listed():
    image = np.zeros((40, 40, 3), np.uint8)
    strict, generous = DetViz(0.5), DetViz(0.3, is_plot=True)
    assert [line.split()[:2] for line in strict.lines(FOUND, ["cat", "dog"])] == [["cat", "0.900"]]
    assert len(generous.lines(FOUND, ["cat", "dog"])) == 2
    changed = [viz(image, FOUND, ["cat", "dog"])[320:480, 320:480].any() for viz in (strict, generous)]
    assert changed == [False, True]  # where the second box lies on the sixteenfold picture


def test_brackets_leave_the_middle_of_a_side_free():
    image = np.zeros((640, 640, 3), np.uint8)
    found = Detections(torch.tensor([[100.0, 100, 500, 500]]), torch.tensor([0.9]), torch.tensor([0]))
    lined = [DetViz(0.5, corners=corners)(image, found, ["cat"])[300, 100].any() for corners in (False, True)]
    assert lined == [True, False]


@pytest.mark.parametrize("threshold", [-0.1, 1.5])
def test_a_threshold_is_a_score(threshold):
    with pytest.raises(ConfigError, match=rf"^The score threshold is {threshold}; expected a number in 0…1"):
        DetViz(threshold)
