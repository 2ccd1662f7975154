"""The third of the lines that make a model quantised: what was requested is carried out."""

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from hatlite.errors import QuantizationError
from hatlite.quantization.graph import FakeQuantGraph
from hatlite.quantization.prepare import prepare
from hatlite.quantization.qconfig import QConfig

__all__ = ["prepare_qat"]


def prepare_qat(
    model: Any, inplace: bool = True, *, deploy_inputs: Mapping[str, torch.Tensor] | torch.Tensor | None = None
) -> Any:
    """Replace ``model.network`` by its fake-quant graph, as ``fuse_model()`` and ``set_qconfig()`` have requested.

    The model goes on as before, in train and in eval mode, on the same parameters: the entries of its state dict keep
    names and values, and ``network.sites.*``, the scales and integer constants, are added. The graph starts in
    calibrate mode: values are real and observers watch. ``model.network.finish_calibration()`` makes scales of what
    they saw; from then on values are integers.

    Args:
        model: A detector with a child ``network`` (:class:`hatlite.nn.Quantizable` has the two methods).
        inplace: Change `model` itself; False changes a copy.
        deploy_inputs: Example of the input, (1, C, H, W) float32, alone or by its name; None takes
            ``model.deploy_inputs``.

    Returns:
        The changed model.

    Raises:
        QuantizationError: Nothing was requested, there is no example, or `model` was prepared before.
        CaptureError: An operation has no integer form.
    """
    name = type(model).__name__
    network = getattr(model, "network", None)
    if not isinstance(network, nn.Module):
        raise QuantizationError(
            f"prepare_qat replaces model.network, which {name} does not have; for a bare network call"
            " prepare(network, QConfig(), example)."
        )
    if isinstance(network, FakeQuantGraph):
        raise QuantizationError(f"This {name} was prepared before; build it anew to prepare it again.")
    missing = [call for call, done in _requests(model).items() if not done]
    if missing:
        raise QuantizationError(
            f"prepare_qat carries out what was requested, and {name} has not had {' and '.join(missing)}; call"
            " model.fuse_model(), then model.set_qconfig(), which hatlite.nn.Quantizable has."
        )
    example = _example(deploy_inputs if deploy_inputs is not None else getattr(model, "deploy_inputs", None), name)
    model = model if inplace else copy.deepcopy(model)
    model.network = prepare(model.network, model.qconfig_requested[0] or QConfig(), example)
    return model


def _requests(model: Any) -> dict[str, bool]:
    return {
        "fuse_model()": getattr(model, "fuse_requested", False),
        "set_qconfig()": bool(getattr(model, "qconfig_requested", ())),
    }


def _example(inputs: Any, name: str) -> torch.Tensor:
    tensors = [inputs] if isinstance(inputs, torch.Tensor) else [*(inputs or {}).values()]
    if len(tensors) != 1 or not isinstance(tensors[0], torch.Tensor) or tensors[0].dim() != 4:
        found = "none" if not tensors else f"{len(tensors)} of them, which are not one tensor of four dimensions"
        raise QuantizationError(
            f"prepare_qat needs an example of the input of {name} and was given {found}; set model.deploy_inputs ="
            " dict(img=torch.zeros(1, 3, 512, 512)), or pass deploy_inputs."
        )
    return tensors[0][:1]
