"""The request to quantise a model, which ``hatlite.quantization.prepare_qat`` carries out."""

from collections.abc import Mapping
from typing import Any

import torch

__all__ = ["Quantizable"]


class Quantizable:
    """Records what is to become of a model; a class of your own inherits it beside ``nn.Module``.

    ::

        model.fuse_model()
        model.set_qconfig()
        hatlite.quantization.prepare_qat(model, inplace=True)

    Nothing changes before the third line: batch norms are folded and observers placed when the graph is made, which
    needs an example of the input.

    Attributes:
        fuse_requested: Whether :meth:`fuse_model` was called.
        qconfig_requested: What :meth:`set_qconfig` was given, as a tuple of one; empty before.
        deploy_inputs: Name → example of an input, such as ``dict(img=torch.zeros(1, 3, 512, 512))``. The engine sets
            it to the config's.
    """

    fuse_requested: bool = False
    qconfig_requested: tuple[Any, ...] = ()
    deploy_inputs: Mapping[str, torch.Tensor] | None = None

    def fuse_model(self) -> None:
        """Ask for each convolution to take in the batch norm and the ReLU behind it."""
        self.fuse_requested = True

    def set_qconfig(self, qconfig: Any = None) -> None:
        """Ask for quantisation as `qconfig` says, a :class:`hatlite.quantization.QConfig`; None is one of defaults."""
        self.qconfig_requested = (qconfig,)
