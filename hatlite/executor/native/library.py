"""Compiles the C files beside this one at first use and loads them; the result is kept in the user's cache folder."""

import contextlib
import ctypes
import functools
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from pathlib import Path

from hatlite.executor.native.layout import Step

__all__ = ["load_library"]

FOLDER = Path(__file__).parent
VECTORS = [f"-mavx512{part}" for part in ("f", "bw", "dq", "vl", "vnni")]
FLAGS = ["-O3", "-std=gnu11", "-shared", "-fPIC", "-fopenmp", *VECTORS]
DIGEST = hashlib.sha256().digest_size
PROCESSORS = ("x86_64", "AMD64")


def cache_folder() -> Path:
    """Return where compiled files are kept: ``$XDG_CACHE_HOME/hatlite``, by default below ``~/.cache``."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "hatlite"


@functools.cache
def load_library() -> ctypes.CDLL:
    """Return the compiled steps, with ``run(steps, count, threads)``.

    Raises:
        RuntimeError: This machine has no C compiler, or not the instructions; the message says which.
    """
    if platform.machine() not in PROCESSORS:
        raise RuntimeError(f"the native engine is written for x86-64 with AVX-512 VNNI; this is {platform.machine()}")
    library = _loaded(_compiled())
    if not library.usable():
        raise RuntimeError("this processor has no AVX-512 VNNI, which the native engine needs")
    library.step_bytes.restype = ctypes.c_int64
    if library.step_bytes() != ctypes.sizeof(Step):
        raise RuntimeError(f"a step has {library.step_bytes()} bytes in C and {ctypes.sizeof(Step)} in Python")
    library.run.argtypes = [ctypes.c_void_p, ctypes.c_int64, ctypes.c_int]
    library.run.restype = None
    return library


def _loaded(file: Path) -> ctypes.CDLL:
    """Load `file`; one that does not load, such as another machine's, goes and is compiled once more."""
    try:
        return ctypes.CDLL(str(file))
    except OSError:
        with contextlib.suppress(OSError):
            file.unlink()
    try:
        return ctypes.CDLL(str(_compiled()))
    except OSError as problem:
        raise RuntimeError(
            f"the native engine compiled {file}, which does not load: {problem}; set XDG_CACHE_HOME to a folder that"
            " programs may run from"
        ) from None


def _is_whole(file: Path) -> bool:
    """Whether a file ends with the digest of the rest; to load one that was cut off would end the process."""
    code = file.read_bytes()
    return hashlib.sha256(code[:-DIGEST]).digest() == code[-DIGEST:]


def _compiled() -> Path:
    compiler = next(filter(None, map(shutil.which, (os.environ.get("CC") or "cc", "gcc", "clang"))), None)
    if compiler is None:
        raise RuntimeError("the native engine needs a C compiler: install gcc or clang, or set CC")
    sources = sorted(FOLDER.glob("*.[ch]"))
    text = b"\0".join([compiler.encode(), " ".join(FLAGS).encode(), *(file.read_bytes() for file in sources)])
    target = cache_folder() / f"native-{hashlib.sha256(text).hexdigest()[:16]}.so"
    try:
        if target.exists() and _is_whole(target):
            return target
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        building = Path(tempfile.mkdtemp(dir=target.parent)) / target.name
    except OSError as problem:
        raise RuntimeError(
            f"the native engine cannot write to {target.parent}: {problem}; set XDG_CACHE_HOME"
        ) from None
    command = [compiler, *FLAGS, "-o", str(building), *(str(file) for file in sources if file.suffix == ".c")]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    if done.returncode == 0:
        code = building.read_bytes()
        building.write_bytes(code + hashlib.sha256(code).digest())
        os.replace(building, target)  # whole or not at all, also when two processes compile at once
    shutil.rmtree(building.parent, ignore_errors=True)
    if done.returncode:
        first = next((line for line in done.stderr.splitlines() if "error" in line), done.stderr.strip())
        raise RuntimeError(f"the native engine does not compile with {compiler}: {first}")
    return target
