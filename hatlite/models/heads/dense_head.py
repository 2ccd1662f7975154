"""What heads that answer at every cell of every level have in common: strides, output names and their type."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

from torch import nn

from hatlite.errors import BuildError
from hatlite.models.agreement import agree, rising_strides
from hatlite.nn.stubs import DeQuantStub

__all__ = ["DenseHead"]


class DenseHead(nn.Module, ABC):
    """Outputs are a flat dict with one entry per kind and stride: ``cls_logits_s8``.

    A subclass builds its layers in :meth:`make_layers`, which runs once, as soon as the channels are known.

    Args:
        num_classes: Number of classes, without background.
        in_strides: Strides of the features that arrive, fine to coarse.
        out_strides: Strides that are predicted, fine to coarse; some of `in_strides`, None for all.
        stride2channels: Channels of the features. None takes them from the neck (:meth:`bind`).
        int8_output: Outputs leave the accelerator as int8.
        int16_output: Outputs leave as int16. Neither: int32, the accumulators themselves.

    Attributes:
        in_channels: Channels of the features by stride; None until they are known.
        dequant: Between the accelerator and the host.

    Raises:
        BuildError: Strides or options do not fit together.
    """

    kinds: tuple[str, ...]
    """What is said at every cell, in the order of the outputs."""

    def __init__(
        self,
        num_classes: int,
        in_strides: Sequence[int],
        out_strides: Sequence[int] | None = None,
        *,
        stride2channels: Mapping[int, int] | None = None,
        int8_output: bool = False,
        int16_output: bool = False,
    ) -> None:
        super().__init__()
        self._kind = type(self).__name__
        self.num_classes = num_classes
        self.in_strides = rising_strides(f"{self._kind}: head.in_strides", in_strides)
        chosen = self.in_strides if out_strides is None else out_strides
        offered = ("head.in_strides", self.in_strides)
        self.out_strides = rising_strides(f"{self._kind}: head.out_strides", chosen, offered)
        self.dequant = DeQuantStub(self._output_dtype(int8_output, int16_output))
        self.in_channels: dict[int, int] | None = None
        if stride2channels is not None:
            self._take(stride2channels)

    @property
    def output_strides(self) -> dict[str, int]:
        """Stride of every output by its name, in the order of ``forward``."""
        return {f"{kind}_s{stride}": stride for stride in self.out_strides for kind in self.kinds}

    @abstractmethod
    def make_layers(self, in_channels: Mapping[int, int]) -> None:
        """Build the layers for features of these channels, by stride."""

    def bind(self, stride2channels: Mapping[int, int]) -> None:
        """Take the input's strides and channels from the neck, or compare them with those given at construction.

        Raises:
            BuildError: The head was built for other strides or channels; the message prints the right ones.
        """
        agree(
            "the strides between neck and head",
            ("neck.out_strides", list(stride2channels)),
            ("head.in_strides", list(self.in_strides)),
        )
        offered = ("the neck's channels", dict(stride2channels))
        agree("the channels of the features", offered, ("head.stride2channels", self.in_channels))
        if self.in_channels is None:
            self._take(stride2channels)

    def shared_channels(self, in_channels: Mapping[int, int]) -> int:
        """Return the one number of channels that all strides have.

        Raises:
            BuildError: They have several.
        """
        widths = set(in_channels.values())
        if len(widths) != 1:
            raise BuildError(
                f"{self._kind}: head.stride2channels is {dict(in_channels)}; expected one number of channels, the same "
                f"for all strides {list(self.in_strides)}, because the convolutions are shared."
            )
        return widths.pop()

    def _take(self, stride2channels: Mapping[int, int]) -> None:
        missing = [stride for stride in self.in_strides if stride not in stride2channels]
        if missing:
            raise BuildError(
                f"{self._kind}: head.stride2channels is {dict(stride2channels)}; it lacks the strides {missing} of "
                "head.in_strides."
            )
        self.in_channels = {stride: stride2channels[stride] for stride in self.in_strides}
        self.make_layers(self.in_channels)

    def _output_dtype(self, int8_output: bool, int16_output: bool) -> str:
        if int8_output and int16_output:
            raise BuildError(
                f"{self._kind}: int8_output and int16_output are both True; set one of them, or none for int32."
            )
        return "int8" if int8_output else "int16" if int16_output else "int32"
