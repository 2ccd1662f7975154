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

    A checkpoint of hatlite fills the whole detector; the state dict of torchvision's classifier its backbone.

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
    backbone = model.network.backbone
    if not isinstance(state, Mapping) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise CheckpointError(
            f"{path} is neither a checkpoint of hatlite nor a state dict; save one with"
            " torch.save(classifier.state_dict(), path)."
        )
    if not hasattr(backbone, "load_torchvision"):
        raise CheckpointError(
            f"{path} is a state dict, which {type(backbone).__name__} cannot be loaded from: it has no"
            " load_torchvision; name a checkpoint of hatlite in config['model']['pretrained']."
        )
    left = backbone.load_torchvision(state, str(path))
    logger.info("The backbone starts from %s: %d entries taken, %d left.", path, len(state) - len(left), len(left))
