"""EfficientNet in the form that integers like: ReLU, no squeeze-and-excitation unless asked for, symmetric padding.

Tan & Le, EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks, ICML 2019.
"""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import nn

from hatlite.errors import BuildError
from hatlite.models.backbones.mbconv import MBConv
from hatlite.models.backbones.torchvision_weights import load_renamed
from hatlite.nn.conv import conv_bn
from hatlite.nn.init import init_he
from hatlite.registry import OBJECT_REGISTRY

__all__ = ["EfficientNet", "round_channels", "round_repeats"]


class _Stage(NamedTuple):
    repeats: int
    kernel_size: int
    stride: int
    expand_ratio: int
    channels: int


# Table 1 of the paper.
_STAGES = (
    _Stage(1, 3, 1, 1, 16),
    _Stage(2, 3, 2, 6, 24),
    _Stage(2, 5, 2, 6, 40),
    _Stage(3, 3, 2, 6, 80),
    _Stage(3, 5, 1, 6, 112),
    _Stage(4, 5, 2, 6, 192),
    _Stage(1, 3, 1, 6, 320),
)
_STEM_CHANNELS = 32
_TOP_CHANNELS = 1280
_STRIDES = (2, 4, 8, 16, 32)
_FEATURE_STAGES = (0, 1, 2, 4, 6)  # the last stage at each stride

# (width, depth, dropout before the classifier) of the published models.
_COEFFICIENTS = {
    "b0": (1.0, 1.0, 0.2),
    "b1": (1.0, 1.1, 0.2),
    "b2": (1.1, 1.2, 0.3),
    "b3": (1.2, 1.4, 0.3),
    "b4": (1.4, 1.8, 0.4),
}

# The names of torchvision's EfficientNet, whose last feature and classifier are the top here.
_TORCHVISION_NAME = re.compile(
    r"features\.(?P<end>0|8)\.(?P<layer>[01])\.(?P<end_entry>\w+)"
    r"|classifier\.1\.(?P<classifier_entry>\w+)"
    r"|features\.(?P<stage>[1-7])\.(?P<block>\d+)\.block\.(?P<part>[0-3])\.(?P<inner>0|1|fc1|fc2)\.(?P<entry>\w+)"
)
_TORCHVISION_PARTS = ("expand", "depthwise", "se", "project")
_TORCHVISION_LAYERS = {"0": "conv", "1": "bn", "fc1": "reduce", "fc2": "expand"}


def _from_torchvision(name: str) -> str | None:
    """Return the name here of an entry of torchvision's state dict; None for what it has not."""
    found = _TORCHVISION_NAME.fullmatch(name)
    if found is None:
        return None
    if found["end"]:
        return (
            f"{'stem' if found['end'] == '0' else 'top.0'}.{_TORCHVISION_LAYERS[found['layer']]}.{found['end_entry']}"
        )
    if found["classifier_entry"]:
        return f"top.4.{found['classifier_entry']}"
    stage = int(found["stage"]) - 1
    first = 0 if _STAGES[stage].expand_ratio != 1 else 1  # without an expansion the others move up
    parts = _TORCHVISION_PARTS[first:]
    if int(found["part"]) >= len(parts):
        return None
    part = parts[int(found["part"])]
    return f"stages.{stage}.{found['block']}.{part}.{_TORCHVISION_LAYERS[found['inner']]}.{found['entry']}"


def round_channels(channels: int, width: float) -> int:
    """Return ``channels · width`` as a multiple of 8 that is at least 90 % of it."""
    wanted = channels * width
    rounded = max(8, int(wanted + 4) // 8 * 8)
    return rounded if rounded >= 0.9 * wanted else rounded + 8


def round_repeats(repeats: int, depth: float) -> int:
    """Return ``repeats · depth`` rounded up."""
    return math.ceil(repeats * depth)


@OBJECT_REGISTRY.register(alias="efficientnet")
class EfficientNet(nn.Module):
    """Five features of strides 2, 4, 8, 16, 32, or class logits with `include_top`.

    Args:
        model_type: ``b0`` … ``b4``.
        num_classes: Width of the classifier; used with `include_top` only.
        include_top: Add the 1×1 convolution, pooling and classifier; :meth:`forward` then returns logits.
        activation: ``relu``, which integers have for nothing, or ``relu6`` or ``swish``, which become tables.
        use_se_block: Squeeze and excitation in every block.
        bn_kwargs: Further arguments of every ``nn.BatchNorm2d``.
        width_coefficient: Replaces the width of `model_type`; 0.5 halves all channels.
        depth_coefficient: Replaces the depth of `model_type`.
        widths: Explicit channels of the stem and the seven stages, 8 numbers, instead of a coefficient.
        drop_path_rate: Stochastic depth of the last block, growing linearly from 0 at the first.

    Raises:
        BuildError: `model_type` is unknown or `widths` has another length.
    """

    def __init__(
        self,
        model_type: str = "b0",
        num_classes: int = 1000,
        include_top: bool = False,
        *,
        activation: str = "relu",
        use_se_block: bool = False,
        bn_kwargs: Mapping[str, Any] | None = None,
        width_coefficient: float | None = None,
        depth_coefficient: float | None = None,
        widths: Sequence[int] | None = None,
        drop_path_rate: float = 0.0,
    ) -> None:
        super().__init__()
        if model_type not in _COEFFICIENTS:
            known = ", ".join(_COEFFICIENTS)
            raise BuildError(f"efficientnet: model_type is {model_type!r}; expected one of {known}.")
        width, depth, dropout = _COEFFICIENTS[model_type]
        self.model_type = model_type
        self.width = width if width_coefficient is None else width_coefficient
        self.depth = depth if depth_coefficient is None else depth_coefficient
        self.widths = self._choose_widths(widths)
        self._block = {"activation": activation, "use_se_block": use_se_block, "bn_kwargs": bn_kwargs}
        conv = {"activation": activation, "bn_kwargs": bn_kwargs}
        self.stem = conv_bn(3, self.widths[0], 3, stride=2, **conv)
        self.stages = self._make_stages(drop_path_rate)
        self.top = self._make_top(num_classes, dropout, conv) if include_top else None
        init_he(self)

    @property
    def stride2channels(self) -> dict[int, int]:
        """Channels of the feature at every stride."""
        return {stride: self.widths[stage + 1] for stride, stage in zip(_STRIDES, _FEATURE_STAGES, strict=True)}

    def load_torchvision(self, weights: Mapping[str, torch.Tensor], path: str = "weights") -> list[str]:
        """Take over the weights of torchvision's ``efficientnet_<model_type>``.

        Torchvision's network has squeeze-and-excitation, SiLU and a classifier; with ``use_se_block=True,
        activation="swish"`` this one computes the same. Otherwise its convolutions and batch norms start from weights
        that were trained in other company.

        Args:
            weights: Its state dict.
            path: Where it is from, for messages.

        Returns:
            The names that this network has no place for: of squeeze-and-excitation and classifier, or none.

        Raises:
            CheckpointError: The weights are of another network.
        """
        own = self.state_dict()

        def optional(name: str) -> bool:
            block, squeeze, _ = name.partition(".se.")
            return name.startswith("top.") or bool(squeeze and f"{block}.project.conv.weight" in own)

        expected = f"torchvision's efficientnet_{self.model_type}"
        return load_renamed(self, weights, _from_torchvision, optional=optional, path=path, expected=expected)

    def _choose_widths(self, widths: Sequence[int] | None) -> tuple[int, ...]:
        if widths is None:
            published = (_STEM_CHANNELS, *(stage.channels for stage in _STAGES))
            return tuple(round_channels(channels, self.width) for channels in published)
        if len(widths) != len(_STAGES) + 1:
            raise BuildError(
                f"efficientnet: widths has {len(widths)} numbers; expected 8, the stem's and seven stages'."
            )
        return tuple(widths)

    def _make_stages(self, drop_path_rate: float) -> nn.ModuleList:
        repeats = [round_repeats(stage.repeats, self.depth) for stage in _STAGES]
        stages, made = nn.ModuleList(), 0
        for number, stage in enumerate(_STAGES):
            blocks = nn.Sequential()
            for i in range(repeats[number]):
                source = self.widths[number] if i == 0 else self.widths[number + 1]
                step = {"kernel_size": stage.kernel_size, "stride": stage.stride if i == 0 else 1}
                rate = drop_path_rate * made / sum(repeats)
                ratio = {"expand_ratio": stage.expand_ratio, "drop_path_rate": rate}
                blocks.append(MBConv(source, self.widths[number + 1], **step, **ratio, **self._block))
                made += 1
            stages.append(blocks)
        return stages

    def _make_top(self, num_classes: int, dropout: float, conv: Mapping[str, Any]) -> nn.Sequential:
        channels = round_channels(_TOP_CHANNELS, self.width)
        return nn.Sequential(
            conv_bn(self.widths[-1], channels, **conv),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Dropout(dropout),
            nn.Linear(channels, num_classes),
        )

    def forward(self, img: torch.Tensor) -> list[torch.Tensor] | torch.Tensor:
        """Return the five features of `img` (N, 3, H, W), fine to coarse, or with `include_top` logits (N, classes)."""
        x = self.stem(img)
        features = []
        for number, stage in enumerate(self.stages):
            x = stage(x)
            if number in _FEATURE_STAGES:
                features.append(x)
        return features if self.top is None else self.top(x)
