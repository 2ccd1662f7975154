"""An integer program in the place of a detector's network."""

import numpy as np
import torch
from torch import nn

from hatlite.executor import Executor, dequantize_outputs
from hatlite.ops.integer.fixed_point import quantize
from hatlite.program import IntProgram

__all__ = ["ExecutorNetwork"]


class ExecutorNetwork(nn.Module):
    """``img → dict[name, tensor]`` as every network, computed by :class:`~hatlite.executor.Executor` on integers.

    Args:
        program: Its one input is called ``img``.
        engine: Of the executor.
        device: Of the executor.
    """

    def __init__(self, program: IntProgram, engine: str = "auto", device: str | None = None) -> None:
        super().__init__()
        self.executor = Executor(program, engine, device)

    def forward(self, img: torch.Tensor) -> dict[str, torch.Tensor]:
        """Quantise, run, return the outputs as real values.

        Args:
            img: (N, 3, H, W) float32, H and W as the program was lowered with.

        Returns:
            Name → (N, C, h, w) float32 on the device of `img`.
        """
        program = self.executor.program
        port = program.inputs[0]
        pixels_NHWC = np.ascontiguousarray(img.detach().cpu().permute(0, 2, 3, 1).numpy())
        integers = self.executor.run({port.name: quantize(pixels_NHWC, float(port.scale), port.dtype)})
        real = dequantize_outputs(program, integers)
        return {name: torch.from_numpy(array).to(img.device) for name, array in real.items()}
