"""The CUDA engine: the float32 engine with its constants and values on a GPU.

Images go there as integers and results come back as integers, once each; everything between stays. No TF32, and every
shape of a convolution is checked before its algorithm is trusted (:mod:`hatlite.executor.kernels.convolve`).
"""

import torch

from hatlite.errors import ProgramError
from hatlite.executor.kernels import float32
from hatlite.program import IntProgram

__all__ = ["Engine"]


class Engine(float32.Engine):
    """Holds one prepared kernel per operator; values stay on the current CUDA device between operators.

    Args:
        program: What it runs.

    Raises:
        ProgramError: There is no CUDA device.
    """

    def __init__(self, program: IntProgram) -> None:
        if not torch.cuda.is_available():
            raise ProgramError("there is no CUDA device that this torch can use; take engine='auto'.")
        super().__init__(program, device="cuda")
