"""How weights begin."""

import math

from torch import nn

__all__ = ["init_he", "init_normal", "prior_bias"]


def init_he(module: nn.Module) -> None:
    """Draw every convolution below `module` from N(0, 2 / fan_out), and linear layers from N(0, 0.01²); biases are 0.

    The fan of a depthwise kernel counts its own group only. He et al., Delving Deep into Rectifiers, ICCV 2015.
    """
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            fan_out = layer.weight[0, 0].numel() * layer.out_channels / layer.groups
            init_normal(layer, math.sqrt(2.0 / fan_out))
        elif isinstance(layer, nn.Linear):
            init_normal(layer, 0.01)


def init_normal(layer: nn.Conv2d | nn.Linear, std: float, bias: float = 0.0) -> None:
    """Draw the weights of `layer` from N(0, std²) and set its bias, if it has one, to `bias`."""
    nn.init.normal_(layer.weight, std=std)
    if layer.bias is not None:
        nn.init.constant_(layer.bias, bias)


def prior_bias(probability: float) -> float:
    """Return the logit b with sigmoid(b) = `probability`.

    A classifier that starts at the probability of the rare class is not swamped by background: Lin et al., Focal Loss,
    ICCV 2017, section 3.3.
    """
    return -math.log((1.0 - probability) / probability)
