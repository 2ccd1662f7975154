"""Where tensors live and how they lie in memory."""

from collections.abc import Mapping
from typing import Any

import torch

from hatlite.errors import ConfigError

__all__ = ["place", "resolve_device", "to_device"]


def resolve_device(name: str | torch.device | None) -> torch.device:
    """Return the device called `name`; None is the CPU.

    Raises:
        ConfigError: No such device exists, or this torch cannot use it.
    """
    try:
        device = torch.device(name or "cpu")
    except RuntimeError as cause:
        raise ConfigError(f"device {name!r} is not one that torch knows; use 'cpu', 'cuda' or 'cuda:0'.") from cause
    if device.type != "cuda":
        return device
    if not torch.cuda.is_available():
        raise ConfigError(f"device {str(name)!r} asks for CUDA, which this torch does not find; use --device cpu.")
    if (device.index or 0) >= torch.cuda.device_count():
        raise ConfigError(f"device {str(name)!r} does not exist; this machine has {torch.cuda.device_count()} GPU(s).")
    return device


def place(model: torch.nn.Module, device: torch.device, channels_last: bool) -> torch.nn.Module:
    """Move `model` to `device`, its four-dimensional weights to channels-last memory when asked."""
    return model.to(device, memory_format=torch.channels_last) if channels_last else model.to(device)


def to_device(batch: Mapping[str, Any], device: torch.device, channels_last: bool = False) -> dict[str, Any]:
    """Copy the tensors of a batch, and those in its lists, to `device`.

    Args:
        batch: As ``Collate2D`` makes it; ``img`` is (N, 3, H, W) float32.
        device: Destination.
        channels_last: Lay four-dimensional tensors out as NHWC in memory; their shape stays NCHW.
    """

    def move(value: Any) -> Any:
        if isinstance(value, torch.Tensor):
            value = value.to(device, non_blocking=True)
            return value.contiguous(memory_format=torch.channels_last) if channels_last and value.ndim == 4 else value
        return [move(item) for item in value] if isinstance(value, list) else value

    return {key: move(value) for key, value in batch.items()}
