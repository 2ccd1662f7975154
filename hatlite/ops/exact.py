"""Arithmetic in which float32 holds integers: everything that would round is switched off.

A float32 convolution of integers is exact while its sums stay below 2^24, in whatever order they are taken. Autocast
(bf16 operands), TF32 and bf16 modes of fp32 convolutions, and transforms such as Winograd do not only re-order the sum.
Gradients claim no exactness: :func:`asked_dtype` tells them what autocast asked for before it was switched off.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from types import MappingProxyType

import torch

__all__ = ["asked_dtype", "exact_float32"]

_BACKENDS = (
    torch.backends.mkldnn.conv,
    torch.backends.mkldnn.matmul,
    torch.backends.cudnn.conv,
    torch.backends.cuda.matmul,
)
_asked: ContextVar[Mapping[str, torch.dtype]] = ContextVar("kind of device → dtype", default=MappingProxyType({}))


def asked_dtype(device: torch.device) -> torch.dtype | None:
    """Return the half precision that autocast computes in on `device`, or did around :func:`exact_float32`, or None."""
    kind = device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else _asked.get().get(kind)


@contextmanager
def exact_float32() -> Iterator[None]:
    """Compute convolutions and products in true float32 inside the block, whatever the caller has switched on."""
    before = [backend.fp32_precision for backend in _BACKENDS]
    asked = {kind: asked_dtype(torch.device(kind)) for kind in ("cpu", "cuda")}
    token = _asked.set({kind: dtype for kind, dtype in asked.items() if dtype is not None})
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
        _asked.reset(token)
        for backend, precision in zip(_BACKENDS, before, strict=True):
            backend.fp32_precision = precision
