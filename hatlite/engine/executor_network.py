"""An integer program in the place of a detector's network."""

from typing import Any

import torch
from numpy.typing import NDArray
from torch import nn

from hatlite.errors import ProgramError, QuantizationError
from hatlite.executor import Executor, dequantize_outputs
from hatlite.program import IntProgram, Port

__all__ = ["ExecutorNetwork"]

BLOCK = 2**15  # pixels' float64 values that stay in a core's cache from one step to the next


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

        Raises:
            ProgramError: The program takes images of another size.
            QuantizationError: A value is NaN.
        """
        program = self.executor.program
        real = dequantize_outputs(program, self.executor.run(self.integers(img)))
        return {name: torch.from_numpy(array).to(img.device) for name, array in real.items()}

    def integers(self, img: torch.Tensor) -> dict[str, NDArray[Any]]:
        """Return `img` as the executor takes it, name → (N, H, W, 3) integers; arguments and errors of the forward."""
        program = self.executor.program
        port = program.inputs[0]
        height, width, _ = program.values[port.value].shape
        if img.shape[-2:] != (height, width):
            raise ProgramError(
                f"The program {program.name!r} is made for images of {height}×{width} (height×width), and got one of"
                f" {img.shape[-2]}×{img.shape[-1]}; resize images to that in the transforms, or export the program"
                " again for this size (deploy_inputs)."
            )
        pixels_NHWC = img.detach().cpu().permute(0, 2, 3, 1).contiguous()
        return {port.name: _quantized(pixels_NHWC, port, program.values[port.value].limits).numpy()}


def _quantized(values: torch.Tensor, port: Port, limits: tuple[int, int]) -> torch.Tensor:
    """Return what :func:`hatlite.ops.integer.fixed_point.quantize` does, block by block: `values` is contiguous."""
    integers = torch.empty(values.shape, dtype=getattr(torch, port.dtype))
    scale, (low, high) = float(port.scale), limits
    for block, result in zip(values.view(-1).split(BLOCK), integers.view(-1).split(BLOCK), strict=True):
        real = block.double().div_(scale)
        if real.isnan().any():
            raise QuantizationError("a value to quantise is NaN; integers cannot hold it.")
        result.copy_(real.add_(0.5).floor_().clamp_(low, high))
    return integers
