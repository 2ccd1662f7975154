"""Arithmetic in which float32 holds integers: everything that would round is switched off.

A float32 convolution of integers is exact while its sums stay below 2^24, in whatever order they are taken. Autocast
(bf16 operands), TF32 and bf16 modes of fp32 convolutions, and transforms such as Winograd do not only re-order the sum.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

__all__ = ["exact_float32"]

_BACKENDS = (
    torch.backends.mkldnn.conv,
    torch.backends.mkldnn.matmul,
    torch.backends.cudnn.conv,
    torch.backends.cuda.matmul,
)


@contextmanager
def exact_float32() -> Iterator[None]:
    """Compute convolutions and products in true float32 inside the block, whatever the caller has switched on."""
    before = [backend.fp32_precision for backend in _BACKENDS]
    for backend in _BACKENDS:
        backend.fp32_precision = "ieee"
    try:
        with (
            torch.backends.nnpack.flags(enabled=False),  # its kernels are Winograd
            torch.autocast("cpu", enabled=False),
            torch.autocast("cuda", enabled=False),
        ):
            yield
    finally:
        for backend, precision in zip(_BACKENDS, before, strict=True):
            backend.fp32_precision = precision
