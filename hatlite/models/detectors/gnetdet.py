"""GNetDet: a grid of 14×14 cells, each with two boxes and the classes, made for the GTI 5801."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from hatlite.errors import BuildError, DataError
from hatlite.models.backbones.torchvision_weights import load_renamed
from hatlite.models.detectors.detector import Detector
from hatlite.models.predictions import GridPredictions, split_grid
from hatlite.registry import OBJECT_REGISTRY

__all__ = ["GNetDet"]

_LAST = "conv15"


@OBJECT_REGISTRY.register
class GNetDet(Detector):
    """A chain of convolutions without neck; images have the one size that its backbone is made for.

    Args:
        backbone: Such as :class:`~hatlite.models.backbones.gnet.GNet`.
        head: Such as :class:`~hatlite.models.heads.gnet_head.GNetHead`.
        targets: Decides which cell learns what, such as :class:`~hatlite.models.assigners.grid_target.GridTarget`;
            needed to train.
        post_process: Makes objects of outputs, such as :class:`~hatlite.models.postprocess.grid_decoder.GridDecoder`;
            needed to detect.
        loss: Such as :class:`~hatlite.models.losses.gnetdet_loss.GNetDetLoss`; needed to train.
        pretrained: File that the float stage starts from: a checkpoint of hatlite, or a state dict of the GNetDet
            toolkit (:meth:`load_toolkit`). It is read by that stage alone.
        quantize: Request the fake-quant graph, as ``fuse_model()`` and ``set_qconfig()`` do. Stages that quantise carry
            it out, as they do without it; one that trains float weights refuses it.

    Raises:
        BuildError: The parts contradict one another; the message names both places.
    """

    decoder_example = "post_process=dict(type='GridDecoder', …)"

    def __init__(
        self,
        backbone: nn.Module,
        head: nn.Module,
        targets: nn.Module | None = None,
        post_process: nn.Module | None = None,
        *,
        loss: nn.Module | None = None,
        pretrained: str | None = None,
        quantize: bool = False,
    ) -> None:
        self.input_size = backbone.input_size
        self._grid = backbone.input_size[0] // backbone.stride
        around: dict[str, Any] = {"losses": {"loss": loss}, "pretrained": pretrained, "quantize": quantize}
        super().__init__(backbone, None, head, targets, post_process, **around)

    def bind_parts(self, head: nn.Module) -> None:
        """Hand the head's classes and stride to its surroundings."""
        if self.targets is not None:
            self.targets.bind(self.num_classes)
            if self.targets.grid_size != self._grid:
                raise BuildError(
                    f"GNetDet: targets.grid_size is {self.targets.grid_size}, but the backbone returns"
                    f" {self._grid}×{self._grid} cells; set it to {self._grid}."
                )
        if self.post_process is not None:
            self.post_process.bind(self.num_classes, self.strides)

    def check_size(self, height: int, width: int) -> None:
        """Refuse a size that the backbone is not made for.

        Raises:
            DataError: It is another one.
        """
        if (height, width) != self.input_size:
            raise DataError(
                f"{self._kind}: img is {height}×{width} (height×width), but the backbone is made for"
                f" {self.input_size[0]}×{self.input_size[1]}; resize images to that with dict(type='Resize',"
                f" img_scale={self.input_size}, keep_ratio=False), or change the backbone's input_size."
            )

    def load_toolkit(self, weights: Mapping[str, torch.Tensor], path: str = "weights") -> list[str]:
        """Take over the convolutions of a network that the GNetDet toolkit trained in float.

        Args:
            weights: Its state dict, ``features.conv0.weight`` … ``features.conv15.bias``; names may begin with the
                ``module.`` of several processes.
            path: Where it is from, for messages.

        Returns:
            The names that were left out: of the last convolution, if that has other classes.

        Raises:
            CheckpointError: The weights are of another network.
        """
        layers = {name: layer for name, layer in self.network.backbone.named_children() if isinstance(layer, nn.Conv2d)}
        last = self.network.head.conv15
        theirs = {_toolkit_name(name): value for name, value in weights.items()}.get(f"{_LAST}.bias")
        if theirs is None or theirs.shape == last.bias.shape:
            layers[_LAST] = last
        expected = "the network of the GNetDet toolkit without batch norm"
        convolutions = nn.ModuleDict(layers)
        return load_renamed(convolutions, weights, _toolkit_name, optional=_of_the_last, path=path, expected=expected)

    def losses_of(self, outputs: Mapping[str, torch.Tensor], batch: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the losses by the name of their argument, for :meth:`compute_losses`."""
        predictions = self._split(outputs)
        device = predictions.classes.device
        boxes, classes = ([one.to(device) for one in batch[key]] for key in ("gt_bboxes", "gt_classes"))
        return {"loss": self.loss(predictions, self.targets(boxes, classes, self.input_size))}

    def _split(self, outputs: Mapping[str, torch.Tensor]) -> GridPredictions:
        return split_grid(outputs[f"predictions_s{self.strides[0]}"])


def _toolkit_name(name: str) -> str | None:
    """Return ``conv3.weight`` of the toolkit's ``features.conv3.weight``; None for a name that it does not give."""
    prefix, found, own = name.removeprefix("module.").partition("features.")
    return own if found and not prefix else None


def _of_the_last(name: str) -> bool:
    return name.startswith(f"{_LAST}.")
