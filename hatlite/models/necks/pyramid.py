"""What necks over a pyramid of features have in common: which strides come in, which go out, and their channels."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

import torch
from torch import nn

from hatlite.errors import BuildError
from hatlite.models.agreement import agree, rising_strides

__all__ = ["PyramidNeck"]


class PyramidNeck(nn.Module, ABC):
    """Takes some of the features that arrive and adds coarser levels, each of twice the stride.

    A subclass builds its layers in :meth:`make_layers`, which runs once, as soon as the channels are known.

    Args:
        out_channels: Channels of every output, or one number for each.
        in_strides: Strides of the features that arrive, fine to coarse.
        out_strides: Strides of the features that leave: those of `in_strides` from `start_level` to `end_level`, then
            doublings.
        num_outs: Number of outputs; the length of `out_strides`.
        start_level: Index of the first input that is used.
        end_level: Index of the last input that is used; −1 is the last.
        stride2channels: Channels of the inputs. None takes them from the backbone (:meth:`bind`).

    Attributes:
        used_strides: Those of `in_strides` that are used.
        num_extra: Number of levels beyond them.
        in_channels: Channels of the inputs by stride; None until they are known.

    Raises:
        BuildError: The strides do not follow from one another.
    """

    def __init__(
        self,
        out_channels: int | Sequence[int],
        *,
        in_strides: Sequence[int],
        out_strides: Sequence[int],
        num_outs: int | None = None,
        start_level: int = 0,
        end_level: int = -1,
        stride2channels: Mapping[int, int] | None = None,
    ) -> None:
        super().__init__()
        self._kind = type(self).__name__
        self.in_strides = rising_strides(f"{self._kind}: neck.in_strides", in_strides)
        self.out_strides = tuple(out_strides)
        self.out_channels = out_channels
        agree("the number of outputs", ("len(neck.out_strides)", len(self.out_strides)), ("neck.num_outs", num_outs))
        self.used_strides = self.in_strides[start_level : None if end_level == -1 else end_level + 1]
        self.num_extra = len(self.out_strides) - len(self.used_strides)
        self._check_strides()
        self.in_channels: dict[int, int] | None = None
        if stride2channels is not None:
            self._take(stride2channels)

    @property
    def stride2channels(self) -> dict[int, int]:
        """Channels of the output at every stride."""
        widths = self.out_channels
        each = [widths] * len(self.out_strides) if isinstance(widths, int) else widths
        return dict(zip(self.out_strides, each, strict=True))

    @property
    @abstractmethod
    def size_divisor(self) -> int:
        """Of which both sides of an image must be multiples, so that levels fit onto one another."""

    @abstractmethod
    def make_layers(self, in_channels: Mapping[int, int]) -> None:
        """Build the layers for features of these channels, by stride of the input."""

    def bind(self, stride2channels: Mapping[int, int]) -> None:
        """Take the input's channels from the backbone, or compare them with those given at construction.

        Raises:
            BuildError: The neck was built for other strides or channels; the message prints the right ones.
        """
        given = list(stride2channels)
        if given != list(self.in_strides):
            raise BuildError(
                f"{self._kind}: neck.in_strides is {list(self.in_strides)}, but the backbone gives features of the"
                f" strides {given}; write in_strides={given}, of which start_level and end_level choose."
            )
        offered = {stride: stride2channels.get(stride) for stride in self.in_strides}
        agree(
            "the channels of the features",
            ("backbone.stride2channels", offered),
            ("neck.stride2channels", self.in_channels),
        )
        if self.in_channels is None:
            self._take(stride2channels)

    def used(self, features: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """Return those of `features`, one per input stride, that are used."""
        return [x for stride, x in zip(self.in_strides, features, strict=True) if stride in self.used_strides]

    def _take(self, stride2channels: Mapping[int, int]) -> None:
        missing = [stride for stride in self.in_strides if stride2channels.get(stride) is None]
        if missing:
            raise BuildError(
                f"{self._kind}: no channels are known for the strides {missing}; stride2channels is "
                f"{dict(stride2channels)}."
            )
        self.in_channels = {stride: stride2channels[stride] for stride in self.in_strides}
        self.make_layers(self.in_channels)

    def _check_strides(self) -> None:
        coarsest = self.used_strides[-1] if self.used_strides else 1
        expected = (*self.used_strides, *(coarsest * 2 ** (i + 1) for i in range(self.num_extra)))
        if not self.used_strides or len(self.out_strides) < 2 or self.out_strides != expected:
            raise BuildError(
                f"{self._kind}: neck.out_strides is {list(self.out_strides)}, but start_level and end_level take "
                f"{list(self.used_strides)} from neck.in_strides {list(self.in_strides)}; expected at least two "
                f"strides that begin with these and double from there, such as {list(expected)}."
            )
