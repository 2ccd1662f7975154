"""Which calibration belongs to which weights: it notes a hash of those that it was made from."""

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from hatlite.engine.checkpoint import SITES, deployed_weights, has_sites, load_checkpoint
from hatlite.engine.run import Run
from hatlite.errors import CheckpointError
from hatlite.log import get_logger

__all__ = ["WEIGHTS_HASH", "calibration_of", "lacks_ranges", "weights_hash", "with_ranges"]

logger = get_logger(__name__)

WEIGHTS_HASH = "weights_hash"
"""Key of a checkpoint of calibration."""


def weights_hash(weights: Mapping[str, torch.Tensor]) -> str:
    """Return the SHA-256 of weights and running statistics, name by name; what belongs to sites does not count.

    Args:
        weights: Name → tensor, as a state dict has them.
    """
    content = hashlib.sha256()
    for name in sorted(weights):
        if not name.startswith(SITES):
            tensor = weights[name].detach().cpu().contiguous()
            content.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
            content.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return content.hexdigest()


def lacks_ranges(checkpoint: Mapping[str, Any]) -> bool:
    """Return whether `checkpoint` is of a quantised model none of whose activations has a scale."""
    weights = deployed_weights(checkpoint)
    ends = ".multiplier"
    sites = [name.removesuffix(ends) for name in weights if name.startswith(SITES) and name.endswith(ends)]
    return has_sites(checkpoint) and all(bool(torch.isnan(weights[f"{site}.scale"])) for site in sites)


def with_ranges(run: Run, path: Path, checkpoint: Mapping[str, Any]) -> tuple[Path, Mapping[str, Any]]:
    """Return the calibration that was made from the weights of `checkpoint`, where these have no ranges themselves.

    It is looked for in the run's folder, then beside `path`.

    Args:
        run: Its stages say which files are of a calibration.
        path: File of `checkpoint`.
        checkpoint: Any.

    Returns:
        Its file and what it holds; `path` and `checkpoint` where these have ranges, or no such calibration is found.
    """
    found = calibration_of(run, path, checkpoint) if lacks_ranges(checkpoint) else None
    if found is None:
        return path, checkpoint
    logger.info("%s has no ranges of activations; those of %s belong to its weights.", path, found[0])
    return found


def calibration_of(run: Run, path: Path, checkpoint: Mapping[str, Any]) -> tuple[Path, Mapping[str, Any]] | None:
    """Return file and content of the calibration that was made from the weights of `checkpoint`; None without one."""
    wanted = weights_hash(deployed_weights(checkpoint))
    for candidate in _calibrations(run, path):
        try:
            found = load_checkpoint(candidate)
        except CheckpointError:  # whoever asks for that file will be told
            continue
        if found.get(WEIGHTS_HASH) == wanted:
            return candidate, found
    return None


def _calibrations(run: Run, path: Path) -> Iterator[Path]:
    names = [stage.name for stage in run.stages if stage.kind.startswith("calibration")]
    for folder in dict.fromkeys((run.folder, path.parent)):
        for name in names:
            for which in ("best", "last"):
                candidate = folder / run.checkpoint(name, which).name
                if candidate.is_file():
                    yield candidate
