import random

import numpy as np
import torch

from hatlite.engine.checkpoint import read_tensors
from hatlite.engine.seed import random_state, restore_random_state, seed_everything, seed_step


def draw():
    return [random.random(), random.gauss(0, 1), *np.random.randn(3), *torch.rand(3).tolist()]


def test_a_seed_fixes_python_numpy_and_torch():
    seed_everything(5)
    first = draw()
    seed_everything(5)
    assert draw() == first
    seed_everything(6)
    assert draw() != first


def test_none_leaves_the_generators_alone():
    seed_everything(5)
    first = draw()
    seed_everything(5)
    seed_everything(None)
    assert draw() == first


def test_a_state_goes_through_a_checkpoint_and_back(tmp_path):
    seed_everything(5)
    random.gauss(0, 1), np.random.randn()  # both keep a second value in store
    torch.save({"random_state": random_state()}, tmp_path / "state")
    expected = draw()
    draw()
    restore_random_state(read_tensors(tmp_path / "state")["random_state"])
    assert draw() == expected


def test_each_step_of_each_process_draws_numbers_of_its_own():
    def drawn(*place):
        seed_step(*place)
        return random.random(), np.random.rand(), torch.rand(1).item()

    places = [(seed, rank, step) for seed in (0, 2**63) for rank in range(2) for step in range(2)]
    assert len({drawn(*place) for place in places}) == len(places)
    assert drawn(0, 1, 1) == drawn(0, 1, 1)
