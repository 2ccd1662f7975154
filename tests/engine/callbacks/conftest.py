from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch


def _rates(updater: Any, *, epochs: int, steps_per_epoch: int, lr: float = 1.0) -> list[float]:
    """Return the rate of every step."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=lr)
    loop = SimpleNamespace(
        optimizer=optimizer,
        total_steps=epochs * steps_per_epoch,
        steps_per_epoch=steps_per_epoch,
        num_epochs=epochs,
        epoch=0,
        step=0,
        lr=0,
    )
    updater.on_loop_begin(loop)
    seen = []
    for loop.step in range(epochs * steps_per_epoch):
        loop.epoch = loop.step // steps_per_epoch
        updater.on_step_begin(loop)
        assert optimizer.param_groups[0]["lr"] == loop.lr
        seen.append(loop.lr)
    return seen


@pytest.fixture(scope="session")
def rates() -> Callable[..., list[float]]:
    """The rates that an updater gives to every step of a training."""
    return _rates
