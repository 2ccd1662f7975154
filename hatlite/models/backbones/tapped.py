"""Torchvision's classifiers as backbones: their own modules, tapped at every stride."""

import functools
import importlib
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import nn

from hatlite.models.backbones.torchvision_weights import load_renamed
from hatlite.nn.functional import Add

__all__ = ["Residual", "TappedBackbone", "torchvision_model"]


class Residual(nn.Module):
    """The children of one of torchvision's residual blocks, under their own names, and a module that adds.

    Residuals start as the identity, with a last batch norm of 0: Goyal et al. 2017, arXiv:1706.02677, section 5.1.

    Args:
        block: Its children move here.
    """

    shortcut = "downsample"
    """Name of the child that brings the input into the shape of the output, where that is another."""

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        norms: list[nn.BatchNorm2d] = []
        for name, child in block.named_children():
            self.add_module(name, child)
            if name != self.shortcut:
                norms += [module for module in child.modules() if isinstance(module, nn.BatchNorm2d)]
        if not hasattr(self, self.shortcut):
            self.add_module(self.shortcut, None)
        if norms[-1].affine:
            nn.init.zeros_(norms[-1].weight)
        self.add = Add()

    def plus_input(self, y: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """Return the branch's result `y` plus the block's input `x`, projected where it has to be."""
        projection = getattr(self, self.shortcut)
        return self.add(y, x if projection is None else projection(x))


def torchvision_model(
    name: str,
    replace: Mapping[str, Callable[[nn.Module], nn.Module]],
    *,
    bn_kwargs: Mapping[str, Any] | None = None,
    **options: Any,
) -> nn.Module:
    """Return torchvision's classifier `name`, with random weights.

    Importing torchvision takes as long as torch itself, which only who builds such a network should pay.

    Args:
        name: Function of ``torchvision.models``.
        replace: Class name of a module → what makes the one that takes its place.
        bn_kwargs: Further arguments of every ``nn.BatchNorm2d``.
        options: Of the function.
    """
    norm = functools.partial(nn.BatchNorm2d, **(bn_kwargs or {}))
    model = getattr(importlib.import_module("torchvision.models"), name)(weights=None, norm_layer=norm, **options)
    _replace(model, replace)
    return model


def _replace(parent: nn.Module, replace: Mapping[str, Callable[[nn.Module], nn.Module]]) -> None:
    for name, child in parent.named_children():
        if type(child).__name__ in replace:
            setattr(parent, name, replace[type(child).__name__](child))
        _replace(getattr(parent, name), replace)


class TappedBackbone(nn.Module):
    """Stages of a torchvision classifier, one after the other; what the tapped ones give are the features.

    A subclass hands over the modules of a :func:`torchvision_model` that has :class:`Residual` for its blocks. Below
    ``stages`` and ``top`` the entries of the state dict keep torchvision's names, but for `renames`.

    Args:
        name: Torchvision's function that makes the classifier, such as ``resnet50``.
        stages: Name → module, in order.
        taps: Names of the stages whose results are the features of strides 2, 4, 8 … in order.
        top: What follows the last stage, up to the logits; None returns features.
        renames: (prefix of torchvision's names, prefix here), the first that fits counts; ``stages.`` is put before
            the name that none fits.
    """

    def __init__(
        self,
        name: str,
        stages: Mapping[str, nn.Module],
        taps: Sequence[str],
        top: nn.Module | None = None,
        renames: Sequence[tuple[str, str]] = (),
    ) -> None:
        super().__init__()
        self.name = name
        self.stages, self.top = nn.Sequential(OrderedDict(stages)), top
        self.taps, self._renames = tuple(taps), (*renames, ("", "stages."))

    @property
    def stride2channels(self) -> dict[int, int]:
        """Channels of the feature at every stride."""
        channels, width = {}, 0
        for name, stage in self.stages.named_children():
            norms = [module for module in stage.modules() if isinstance(module, nn.BatchNorm2d)]
            width = norms[-1].num_features if norms else width  # a lone ReLU or pool leaves the channels
            channels[name] = width
        return {2 ** (level + 1): channels[name] for level, name in enumerate(self.taps)}

    def load_torchvision(self, weights: Mapping[str, torch.Tensor], path: str = "weights") -> list[str]:
        """Take over the weights of torchvision's classifier, after which this network computes the same.

        A backbone whose activations differ from the published ones starts from weights trained in other company.

        Args:
            weights: Its state dict.
            path: Where it is from, for messages.

        Returns:
            The names that this network has no place for: of the classifier, or none.

        Raises:
            CheckpointError: The weights are of another network.
        """
        expected = f"torchvision's {self.name}"
        return load_renamed(self, weights, self._renamed, optional=_of_the_top, path=path, expected=expected)

    def _renamed(self, name: str) -> str:
        theirs, ours = next(pair for pair in self._renames if name.startswith(pair[0]))
        return ours + name.removeprefix(theirs)

    def forward(self, img: torch.Tensor) -> list[torch.Tensor] | torch.Tensor:
        """Return the features of `img` (N, 3, H, W), fine to coarse, or with a top the logits (N, classes)."""
        x, features = img, []
        for name, stage in self.stages.named_children():
            x = stage(x)
            if name in self.taps:
                features.append(x)
        return features if self.top is None else self.top(x)


def _of_the_top(name: str) -> bool:
    return name.startswith("top.")
