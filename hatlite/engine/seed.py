"""One seed for everything that draws random numbers, and its state as tensors."""

import random
from typing import Any

import numpy as np
import torch

__all__ = ["random_state", "restore_random_state", "seed_everything", "seed_step"]


def seed_everything(seed: int | None) -> None:
    """Seed Python, NumPy and torch on every device; None leaves them as they are.

    Workers need nothing more: a sample's augmentation depends on (seed, epoch, index) alone.
    """
    if seed is None:
        return
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def seed_step(seed: int, rank: int, step: int) -> None:
    """Seed all generators for one step of one of several processes: what it draws is a function of the three numbers.

    A run that resumes there draws the same without having saved the generators of every process.
    """
    drawn = np.random.SeedSequence([seed % 2**64, rank, step]).generate_state(1)
    seed_everything(int(drawn[0]))


def random_state() -> dict[str, Any]:
    """Return the state of all generators as tensors and plain values, fit for a checkpoint."""
    version, words, gauss = random.getstate()
    name, keys, position, has_gauss, cached = np.random.get_state()
    return {
        "python": {"version": version, "words": torch.tensor(words, dtype=torch.int64), "gauss": gauss},
        "numpy": {
            "name": name,
            "keys": torch.from_numpy(keys.astype(np.int64)),
            "position": int(position),
            "has_gauss": int(has_gauss),
            "cached": float(cached),
        },
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }


def restore_random_state(state: dict[str, Any]) -> None:
    """Put all generators back to `state`, as :func:`random_state` returned it."""
    python, numpy = state["python"], state["numpy"]
    random.setstate((python["version"], tuple(python["words"].tolist()), python["gauss"]))
    keys = numpy["keys"].numpy().astype(np.uint32)
    np.random.set_state((numpy["name"], keys, numpy["position"], numpy["has_gauss"], numpy["cached"]))
    torch.set_rng_state(state["torch"])
    if torch.cuda.is_available() and len(state["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(state["cuda"])
