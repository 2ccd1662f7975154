"""What is refused, and what stands for it when all refusals are wanted and not the first alone.

Capture and preparation hand each refusal to a function. :func:`strictly` raises it; one that returns, such as
``list.append``, lets them go on with a stand-in, so that what comes behind is looked at too.
"""

import operator
from collections.abc import Callable
from typing import Any

from torch import fx, nn

from hatlite.errors import CaptureError

__all__ = ["REPLACEMENTS", "Refuse", "Refused", "strictly"]

Refuse = Callable[[CaptureError], None]

_FLOAT = "take it out of the network: behind a DeQuantStub everything is float"
_ACTIVATION = "use torch.nn.SiLU or torch.nn.Hardswish, which become tables"
_NORM = "use torch.nn.BatchNorm2d directly behind a convolution, which folds it"
_ADD, _SUB, _MUL = (f"make a hatlite.nn.{name} in __init__ and call it" for name in ("Add", "Sub", "Mul"))
_RESIZE = "use hatlite.nn.Interpolate, bilinear ×2 or nearest by a whole factor"

REPLACEMENTS: dict[str, str] = {
    **dict.fromkeys(("GELU", "Mish", "ELU", "CELU", "Softplus", "gelu", "mish", "elu", "softplus"), _ACTIVATION),
    **dict.fromkeys(("PReLU", "RReLU", "prelu", "leaky_relu"), "use torch.nn.LeakyReLU"),
    **dict.fromkeys(("Hardtanh", "relu6", "hardtanh", "clamp"), "use torch.nn.ReLU6 or torch.nn.ReLU"),
    **dict.fromkeys(("Softmax", "Softmax2d", "LogSoftmax", "softmax", "log_softmax", "topk", "argmax"), _FLOAT),
    **dict.fromkeys(("GroupNorm", "LayerNorm", "InstanceNorm2d", "BatchNorm1d", "group_norm", "layer_norm"), _NORM),
    "L2Norm": "leave it out (SSDNeck: l2_norm_scale=None), or take a neck with batch norms such as FPN",
    **dict.fromkeys(("Upsample", "UpsamplingNearest2d", "UpsamplingBilinear2d", "interpolate"), _RESIZE),
    **dict.fromkeys(("Dropout", "Dropout2d", "dropout"), "remove it, or use hatlite.nn.DropPath on residual branches"),
    **dict.fromkeys(("Conv1d", "Conv3d"), "use torch.nn.Conv2d"),
    **dict.fromkeys(("ReflectionPad2d", "ReplicationPad2d", "ConstantPad2d", "pad"), "use torch.nn.ZeroPad2d"),
    **dict.fromkeys(("AdaptiveMaxPool2d", "max_pool2d"), "use torch.nn.MaxPool2d with numbers for its window"),
    **dict.fromkeys(("avg_pool2d", "adaptive_avg_pool2d", "mean"), "use torch.nn.AvgPool2d or AdaptiveAvgPool2d(1)"),
    **dict.fromkeys(
        ("Flatten", "flatten", "view", "reshape"), "keep (N, C, H, W): a Conv2d with kernel_size=1 is linear"
    ),
    **dict.fromkeys(("add", "iadd", "add_"), _ADD),
    **dict.fromkeys(("sub", "isub", "sub_"), _SUB),
    **dict.fromkeys(("mul", "imul", "mul_"), _MUL),
    **dict.fromkeys(("cat", "concat"), "make a hatlite.nn.Concat in __init__ and call it"),
    **dict.fromkeys(("relu", "relu_"), "make a torch.nn.ReLU in __init__ and call it"),
    **dict.fromkeys(("sigmoid", "sigmoid_"), "make a torch.nn.Sigmoid in __init__ and call it"),
    **dict.fromkeys(("silu", "hardswish", "tanh"), "make the module of torch.nn in __init__ and call it"),
    "exp": "make a hatlite.nn.Exp in __init__ and call it",
    "getattr": "write constant numbers instead of shapes",
}
"""Name of a module or function without integer form → what to write instead."""


def strictly(problem: CaptureError) -> None:
    """Raise `problem`: the first refusal ends the work."""
    raise problem


class Refused(nn.Module):
    """Stands for a refused call of a captured network; computes in float what the network computes there.

    Args:
        node: The node of the traced graph.
        network: What was traced.
    """

    def __init__(self, node: fx.Node, network: nn.Module) -> None:
        super().__init__()
        self.parts = (node, network)  # a tuple, so that the network is no child

    def forward(self, *inputs: Any) -> Any:
        node, network = self.parts
        values = dict(zip(node.all_input_nodes, inputs, strict=True))
        args = fx.node.map_arg(node.args, values.__getitem__)
        kwargs = fx.node.map_arg(node.kwargs, values.__getitem__)
        if node.op == "call_module":
            return network.get_submodule(node.target)(*args, **kwargs)
        if node.op == "get_attr":
            return operator.attrgetter(node.target)(network)
        function = getattr(type(args[0]), node.target) if node.op == "call_method" else node.target
        return function(*args, **kwargs)
