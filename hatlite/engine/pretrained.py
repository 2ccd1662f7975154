"""What ``model['pretrained']`` names: weights to start from."""

from collections.abc import Mapping
from typing import Any

import torch

from hatlite.engine.checkpoint import is_checkpoint, load_weights, read_tensors, say_what_is_left
from hatlite.engine.loop import RunInfo
from hatlite.errors import CheckpointError
from hatlite.log import get_logger

__all__ = ["load_pretrained"]

logger = get_logger(__name__)


def load_pretrained(model: Any, run: RunInfo) -> None:
    """Load the file that the detector `model` names as `pretrained`, if it names one.

    A checkpoint of hatlite fills the whole detector, and so does a state dict of the toolkit that the detector comes
    from, where it has ``load_toolkit``; the state dict of torchvision's classifier fills its backbone.

    Args:
        model: Float detector.
        run: Who asks, for messages.

    Raises:
        CheckpointError: The file is missing or damaged, or of another network, or the backbone knows no such files.
    """
    path = getattr(model, "pretrained", None)
    if path is None:
        return
    hint = "config['model']['pretrained'] names it; give the path of a file on this machine, or remove the key."
    state = read_tensors(path, hint=hint)
    if is_checkpoint(state):
        load_weights(model, state, path=path, run=run)
        say_what_is_left(state, path)
        return
    if not isinstance(state, Mapping) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise CheckpointError(
            f"{path} is neither a checkpoint of hatlite nor a state dict; save one with"
            " torch.save(classifier.state_dict(), path)."
        )
    whole = hasattr(model, "load_toolkit")
    part = model if whole else model.network.backbone
    if not whole and not hasattr(part, "load_torchvision"):
        raise CheckpointError(
            f"{path} is a state dict, which {type(part).__name__} cannot be loaded from: it has no"
            " load_torchvision; name a checkpoint of hatlite in config['model']['pretrained']."
        )
    left = (part.load_toolkit if whole else part.load_torchvision)(state, str(path))
    told = "The %s starts from %s: %d entries taken, %d left."
    logger.info(told, "detector" if whole else "backbone", path, len(state) - len(left), len(left))
