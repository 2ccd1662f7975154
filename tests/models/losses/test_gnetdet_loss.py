"""GNetDetLoss: every term by hand, the moving average, and the gradients that differ from the plain ones."""

import math
from dataclasses import replace

import pytest
import torch

from hatlite.errors import BuildError
from hatlite.models.assigners.grid_target import GridTargets
from hatlite.models.losses.gnetdet_loss import GNetDetLoss
from hatlite.models.predictions import split_grid
from tests.process_groups import in_processes

WANTED = [0.5, 0.5, 0.5, 0.25]  # x and y in cells, sides as parts of the image
EXACT, OTHER = [*WANTED, 0.6], [0.5, 0.5, 0.25, 0.25, 0.3]
SCORES = [0.2, 0.7]


def output_of(slots, scores=SCORES, elsewhere=0.1):
    """Return (1, 12, 2, 2): two slots of x, y, w, h, confidence in cell (0, 1); `elsewhere` everything is that."""
    output = torch.full((1, 12, 2, 2), elsewhere)
    output[0, :, 0, 1] = torch.tensor([*slots[0], *slots[1], *scores])
    return output.requires_grad_()


def targets_of(images=1, ignored=()):
    """Return targets of 2 × 2 cells and two classes: cell (0, 1) has an object of class 1."""
    positive = torch.zeros(images, 2, 2, dtype=torch.bool)
    positive[:, 0, 1] = True
    empty = ~positive
    for cell in ignored:
        empty[cell] = False
    offsets, sizes, classes = (torch.zeros(images, 2, 2, 2) for _ in range(3))
    offsets[:, 0, 1], sizes[:, 0, 1] = torch.tensor(WANTED[:2]), torch.tensor(WANTED[2:])
    classes[:, 0, 1, 1] = 1.0
    return GridTargets(positive, empty, offsets, sizes, classes)


def losses_of(slots, targets=None, **options):
    loss = GNetDetLoss(**options).eval()  # in eval mode everything is divided by the one object
    values = loss(split_grid(output_of(slots)), targets or targets_of())
    return {name: value.item() for name, value in values.items()}


def near(expected):
    return pytest.approx(expected, abs=1e-5)


def test_the_slot_with_the_right_box_is_responsible():
    values = losses_of([EXACT, OTHER])
    assert list(values) == list(GNetDetLoss.loss_names)
    assert values["loc"] == near(0)
    assert values["cls"] == near(0.5 * 0.2**2 + 0.5 * 0.3**2)
    assert values["contain"] == near(2 * 0.5 * 0.4**2)
    assert values["not_contain"] == near(0.5 * 0.3**2)
    assert values["noobj"] == near(0.005 * 6 * 0.5 * 0.1**2)
    assert losses_of([OTHER, EXACT])["contain"] == near(values["contain"])


def test_offsets_and_roots_of_sides():
    """A centre ¼ cell aside, which is ⅛ of the image: 0.09375 of 0.15625 are shared."""
    beside = [0.75, 0.5, 0.5, 0.25, 1.0]
    values = losses_of([beside, [0.5, 0.5, 0.125, 0.25, 0.0]])
    assert values["loc"] == near(5 * 0.5 * 0.25**2)
    assert values["contain"] == near(2 * 0.5 * 0.4**2)
    assert values["not_contain"] == near(0)
    values = losses_of([[0.5, 0.5, 0.25, 0.25, 0.5], [0.0, 0.0, 0.0, 0.0, 0.0]])
    assert values["loc"] == near(5 * 0.5 * (math.sqrt(0.5) - 0.5) ** 2)
    assert values["contain"] == near(0)


def test_far_differences_count_linearly():
    far = [3.5, 0.5, 0.5, 0.25, 4.0]
    values = losses_of([far, far], loss_weights=(1.0, 0.0))
    assert values["loc"] == near(3 - 0.5)
    assert values["contain"] == near(2 * (4 - 0.5))
    assert values["noobj"] == 0


def test_of_equal_slots_the_first_is_responsible():
    output = output_of([EXACT, EXACT])
    values = GNetDetLoss()(split_grid(output), targets_of())
    values["not_contain"].backward()
    assert output.grad[0, :, 0, 1].nonzero().flatten().tolist() == [9]


def test_a_region_to_ignore_is_not_told_to_be_empty():
    values = losses_of([EXACT, OTHER], targets_of(ignored=[(0, 1, 0), (0, 1, 1)]))
    assert values["noobj"] == near(0.005 * 2 * 0.5 * 0.1**2)


def test_an_image_without_objects_teaches_emptiness_alone():
    targets = targets_of()
    nothing = replace(targets, positive=targets.positive & False, empty=targets.empty | True)
    output = output_of([EXACT, OTHER])
    values = GNetDetLoss()(split_grid(output), nothing)
    assert [name for name, value in values.items() if value > 0] == ["noobj"]
    sum(values.values()).backward()
    assert set(output.grad.nonzero()[:, 1].tolist()) == {4, 9}


def test_the_average_moves_with_the_objects_in_training_alone():
    loss, predictions = GNetDetLoss(normaliser=100.0, normaliser_momentum=0.9), split_grid(output_of([EXACT, OTHER]))
    first = loss(predictions, targets_of())
    assert loss.normaliser.item() == pytest.approx(90.1)
    assert first["not_contain"].item() == pytest.approx(0.5 * 0.3**2 / 90.1)
    loss.eval()(predictions, targets_of())
    assert loss.normaliser.item() == pytest.approx(90.1)
    assert "normaliser" in loss.state_dict()


def test_in_eval_mode_the_objects_at_hand_count_whatever_training_left():
    output, found = output_of([EXACT, OTHER]), []
    for loss in (GNetDetLoss(normaliser=7.0), GNetDetLoss()):
        found.append(loss.eval()(split_grid(output.expand(2, -1, -1, -1)), targets_of(2)))
        assert found[-1]["not_contain"].item() == pytest.approx(0.5 * 0.3**2)
    assert found[0] == found[1]
    nothing = replace(targets_of(), positive=targets_of().positive & False)
    values = GNetDetLoss().eval()(split_grid(output), nothing)
    assert all(math.isfinite(value.item()) for value in values.values())


def shares(rank):
    torch.manual_seed(0)
    output = torch.rand(3, 12, 2, 2)
    loss = GNetDetLoss()
    mine = [output[:2], output[2:]][rank]
    values = loss(split_grid(mine), targets_of(len(mine)))
    return [value.item() for value in values.values()], loss.normaliser.item()


def test_the_mean_of_two_processes_is_the_loss_of_the_whole_batch():
    torch.manual_seed(0)
    loss = GNetDetLoss()
    whole = loss(split_grid(torch.rand(3, 12, 2, 2)), targets_of(3))
    (first, average), (second, other) = in_processes(2, shares)
    assert average == other == loss.normaliser.item()
    assert [sum(pair) / 2 for pair in zip(first, second, strict=True)] == pytest.approx(
        [value.item() for value in whole.values()], rel=1e-5
    )


def test_the_slope_of_the_root_ends():
    output = output_of([[0.5, 0.5, 0.0, 0.25, 0.0], [9.0, 9.0, 0.0, 0.0, 0.0]])
    loss = GNetDetLoss(least_root=0.1, loss_weights=(1.0, 0.0))
    loss.eval()(split_grid(output), targets_of())["loc"].backward()
    root, wanted = math.sqrt(1e-8), math.sqrt(0.5)
    assert output.grad[0, 2, 0, 1].item() == pytest.approx((root - wanted) / (2 * 0.1), rel=1e-4)


@pytest.mark.parametrize("detached", [True, False])
def test_the_aimed_at_iou_may_have_a_gradient(detached):
    output = output_of([[0.5, 0.5, 0.4, 0.25, 0.6], OTHER])
    GNetDetLoss(detach_iou=detached)(split_grid(output), targets_of())["contain"].backward()
    assert (output.grad[0, 2, 0, 1] == 0) == detached
    assert output.grad[0, 4, 0, 1] != 0


def test_refusals():
    with pytest.raises(BuildError, match=r"loss_weights is \[5.0\]; expected two numbers from 0 up"):
        GNetDetLoss([5.0])
    with pytest.raises(BuildError, match="normaliser_momentum is 1.5; expected a number in 0…1"):
        GNetDetLoss(normaliser_momentum=1.5)
    for key in ("normaliser", "least_root"):
        with pytest.raises(BuildError, match=f"GNetDetLoss: {key} is 0; expected a number above 0"):
            GNetDetLoss(**{key: 0})
