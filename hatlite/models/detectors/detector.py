"""What every detector is: a network that runs on the accelerator, and losses and decoding around it on the host."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from hatlite.errors import BuildError, DataError
from hatlite.models.detectors.network import Network
from hatlite.nn import Quantizable
from hatlite.ops.processes import process, sum_over_processes
from hatlite.structures import Detections

__all__ = ["Detector"]


class Detector(Quantizable, nn.Module, ABC):
    """Outputs of ``network`` become losses in train mode and objects in eval mode.

    ``network`` is replaced by later stages; everything else stays as it is in float. A subclass says in
    :meth:`bind_parts` what its parts learn of one another, and in :meth:`losses_of` what training minimises.

    Args:
        backbone: Image in, list of features out.
        neck: List of features in and out; None hands those of the backbone to the head.
        head: List of features in, dict of named outputs out.
        targets: Decides what learns what; needed to train.
        post_process: Makes objects of outputs; needed to detect.
        losses: The loss modules by the name of their argument, in the order in which they are reported.
        pretrained: File that the float stage starts from: a checkpoint of hatlite, or the state dict of torchvision's
            classifier for the backbone. It is read by that stage alone.
        quantize: Request the fake-quant graph, as ``fuse_model()`` and ``set_qconfig()`` do. Stages that quantise carry
            it out, as they do without it; one that trains float weights refuses it.

    Raises:
        BuildError: The parts contradict one another; the message names both places.
    """

    decoder_example = "post_process=dict(…)"
    """What a config writes to detect, for the message that says it was left out."""
    input_size: tuple[int, int] | None = None
    """(height, width) of the one image size that it takes; None for any that :meth:`check_size` lets through."""

    def __init__(
        self,
        backbone: nn.Module,
        neck: nn.Module | None,
        head: nn.Module,
        targets: nn.Module | None,
        post_process: nn.Module | None,
        *,
        losses: Mapping[str, nn.Module | None],
        pretrained: str | None = None,
        quantize: bool = False,
    ) -> None:
        super().__init__()
        self._kind = type(self).__name__
        self.network = Network(backbone, neck, head)
        self.targets, self.post_process = targets, post_process
        for name, loss in losses.items():
            setattr(self, name, loss)
        self._loss_parts = tuple(losses)
        self.pretrained, self.quantize = pretrained, quantize
        if quantize:
            self.fuse_model()
            self.set_qconfig()
        self.num_classes: int = head.num_classes
        self.strides: tuple[int, ...] = tuple(head.out_strides)
        self._size_divisor: int = self.network.size_divisor
        if targets is not None:
            self._check_losses()
        self.bind_parts(head)

    @abstractmethod
    def bind_parts(self, head: nn.Module) -> None:
        """Tell targets, losses and decoder what they must know of the `head`, or compare it.

        Raises:
            BuildError: They contradict one another.
        """

    def _check_losses(self) -> None:
        missing = [name for name in self._loss_parts if getattr(self, name) is None]
        needed = ", ".join(self._loss_parts)
        if missing:
            raise BuildError(
                f"{self._kind}: targets is given but {', '.join(missing)} is not; training needs all of {needed}."
            )
        for name in self._loss_parts:
            if getattr(self, name).reduction == "none":
                raise BuildError(
                    f"{self._kind}: {name}.reduction is 'none', but a loss must be one number; set it to 'mean'."
                )
        names = [name for part in self._loss_parts for name in _names_of(getattr(self, part))]
        if len(set(names)) < len(names):
            raise BuildError(f"{self._kind}: the loss_name of {needed} are {', '.join(names)}; they must differ.")

    def forward(self, batch: Mapping[str, Any]) -> dict[str, torch.Tensor] | list[Detections]:
        """Return losses by name in train mode, objects per image in eval mode.

        Args:
            batch: ``img`` (N, 3, H, W) float32 and lists of length N, as docs/architecture.md describes them.

        Raises:
            DataError: The network cannot take an image of this size.
        """
        self.check_size(*batch["img"].shape[-2:])
        # Under autocast the network computes in half precision; boxes and losses need more bits.
        outputs = {name: value.float() for name, value in self.network(batch["img"]).items()}
        return self.compute_losses(outputs, batch) if self.training else self.detect(outputs, batch)

    def check_size(self, height: int, width: int) -> None:
        """Refuse a size at which the levels of the neck do not fit onto one another.

        Raises:
            DataError: The sides are no multiples of what the neck needs.
        """
        if height % self._size_divisor or width % self._size_divisor:
            raise DataError(
                f"{self._kind}: img is {height}×{width} (height×width), but both sides must be multiples of "
                f"{self._size_divisor}, the coarsest stride at which the neck resizes; set Pad's divisor to "
                f"{self._size_divisor}."
            )

    def compute_losses(self, outputs: Mapping[str, torch.Tensor], batch: Mapping[str, Any]) -> dict[str, torch.Tensor]:
        """Return the scalar losses by name. Without a positive those of the boxes are 0.

        Args:
            outputs: Of ``network``, with gradient.
            batch: ``gt_bboxes`` and ``gt_classes``, lists of length N.

        Raises:
            BuildError: The detector was built without targets.
            DataError: The network cannot take an image of this size.
        """
        self.check_size(*batch["img"].shape[-2:])  # whoever evaluates calls the network without `forward`
        if self.targets is None:
            needed = ", ".join(self._loss_parts)
            raise BuildError(f"{self._kind}: losses need targets and {needed} in the model; they were left out.")
        values = self.losses_of(outputs, batch)
        named: dict[str, torch.Tensor] = {}
        for part in self._loss_parts:
            value = values[part]
            named |= value if isinstance(value, Mapping) else {getattr(self, part).loss_name: value}
        return named

    @abstractmethod
    def losses_of(self, outputs: Mapping[str, torch.Tensor], batch: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the scalar losses by the name of their argument; the arguments are those of :meth:`compute_losses`.

        A loss of several terms, which has ``loss_names``, is a mapping from those to scalars.
        """

    def normaliser(self, total: torch.Tensor, least: float = 1.0) -> torch.Tensor:
        """Return what a loss over the batch is divided by, a float32 scalar: `total`, but not less than `least`.

        In training the batch is that of all processes, and each divides by its part of the total, so that the mean of
        their losses is the loss of the global batch. Every process must call it as often.

        Args:
            total: Count or sum of weights over this process's batch, a scalar.
            least: At least this for the global batch, so that nothing is divided by 0.
        """
        if not self.training:  # single batches are measured
            return total.detach().float().clamp(min=least)
        return sum_over_processes(total.float()).clamp(min=least) / process()[1]

    def detect(self, outputs: Mapping[str, torch.Tensor], batch: Mapping[str, Any]) -> list[Detections]:
        """Return the objects of every image from the `outputs` of ``network``.

        Args:
            outputs: Of ``network``.
            batch: ``img`` (N, 3, H, W), and what post_process needs.

        Raises:
            BuildError: The detector was built without post_process.
            DataError: The network cannot take an image of this size.
        """
        self.check_size(*batch["img"].shape[-2:])
        if self.post_process is None:
            raise BuildError(f"{self._kind}: detection needs {self.decoder_example} in the model; it was left out.")
        return self.post_process(outputs, batch)


def _names_of(loss: nn.Module) -> tuple[str, ...]:
    return getattr(loss, "loss_names", None) or (loss.loss_name,)
