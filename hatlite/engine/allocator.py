"""Keep the memory of large tensors in the process between steps.

By default glibc hands every buffer above 32 MiB back to the kernel when it is freed and asks for zeroed pages again at
the next layer. On a virtual machine those page faults can cost much of a step: `benchmarks/allocator.py`
measures it.
"""

import ctypes
import sys

__all__ = ["keep_freed_memory"]

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4  # names and numbers of <malloc.h>
_NEVER = 2**31 - 1
_TOP_PAD = 64 * 2**20  # grow the heap in steps of 64 MiB


def keep_freed_memory() -> bool:
    """Tell glibc to serve large buffers from the heap and not to shrink it; return whether it agreed.

    Peak memory stays what it is; it is only kept until the process ends. Other C libraries are left alone.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    wishes = ((_M_MMAP_MAX, 0), (_M_TRIM_THRESHOLD, _NEVER), (_M_TOP_PAD, _TOP_PAD))
    return all([mallopt(option, value) == 1 for option, value in wishes])
