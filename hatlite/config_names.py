"""The plain names that mean something at the top of a config; sections, which are dicts, stand in the engine."""

from collections.abc import Mapping
from typing import Any

__all__ = ["FOR_ITSELF", "NAMES"]

NAMES: dict[str, Any] = {
    "VERSION": str,
    "training_step": str,
    "task_name": Any,
    "num_classes": Any,
    "classes": Any,
    "ckpt_dir": Any,
    "log_dir": str | None,
    "redirect_config_logging_path": str | None,
    "batch_size_per_gpu": int,
    "device_ids": list[int],
    "cudnn_benchmark": bool | None,
    "log_rank_zero_only": bool | None,
    "seed": Any,
    "march": Any,
    "stages": Any,
    "gates": Any,
    "stage_checkpoint": Any,
    "quantize": Any,
    "align_images": Any,
    "conf_thresh": Any,
    "prob_thresh": Any,
    "nms_thresh": Any,
    "custom_imports": Any,
    "convert_mode": str,
    "bn_kwargs": dict,
    "deploy_inputs": Mapping,
    "calibration_step": int,
}
"""Name → what it may be, as far as nothing else checks it. ``cudnn_benchmark`` has no effect, for the fastest kernel
would decide about bits; nor have the folders of logs, which go to the terminal."""

FOR_ITSELF = ("batch_size_per_gpu", "bn_kwargs", "convert_mode", "training_step")
"""Those of :data:`NAMES` that only the config itself uses, further down: nobody would read one that it does not set."""
