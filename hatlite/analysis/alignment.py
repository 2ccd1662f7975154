"""Does the integer program compute what was trained? Every integer of every layer is compared, at 0 LSB.

One side is the fake-quant graph itself, the module that QAT trains, in eval and in train mode. The other side is the
NumPy int64 reference, which reads the `.hbir` file in a fresh process that imports neither torch nor models nor
quantisation (:mod:`hatlite.executor.replay`). They share the file, the image and the definition of rounding.
"""

import dataclasses
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

import hatlite
from hatlite.analysis.alignment_report import AlignmentReport, LayerAlignment
from hatlite.errors import ProgramError, QuantizationError
from hatlite.executor.replay import save_recording
from hatlite.lowering import lower
from hatlite.march import get_march
from hatlite.ops.integer.fixed_point import quantize
from hatlite.program import IntProgram, load
from hatlite.quantization import FakeQuantGraph

__all__ = ["MODES", "check_alignment", "record", "stale_layers"]

Ints = NDArray[np.int32]

MODES = ("eval", "train")
COUNTS = ("elements", "differing", "max_lsb", "mode_differing", "mode_max_lsb")


def record(graph: FakeQuantGraph, img: torch.Tensor) -> dict[str, Ints]:
    """Return the integer result of every site for `img`, in the mode (train or eval) that `graph` is in.

    Args:
        graph: Calibrated.
        img: (N, C, H, W) float32.

    Returns:
        Site → (N, H, W, C) int32, wider than any 8 or 16 bit value, so that one outside its range stays visible.

    Raises:
        QuantizationError: The graph is not calibrated, or a site gives something else than integers.
    """
    img = img.to(next(graph.buffers()).device)
    return {name: _as_integers(graph, name, q.detach()) for name, q in graph.integers(img).items()}


def check_alignment(
    graph: FakeQuantGraph,
    program_path: str | os.PathLike[str],
    batches: Iterable[torch.Tensor],
    *,
    modes: Sequence[str] = MODES,
) -> AlignmentReport:
    """Compare every integer of `graph` with those that the program in `program_path` computes.

    The program runs on what the graph gives in the first of `modes`; the graph in each other mode must give the same
    integers again. Images go through one by one, so that memory and disk hold one image's values at a time. `graph` is
    left in integer mode, its modules in the train or eval mode that they had.

    Args:
        graph: Calibrated or trained.
        program_path: `.hbir` file that was lowered from it.
        batches: Images, (N, C, H, W) float32 of the size that the program was lowered for.
        modes: ``eval``, ``train`` or both.

    Raises:
        ProgramError: The file cannot be used, has other values than the graph, or the fresh process failed.
        QuantizationError: `modes` is wrong, there is no image, or the graph gives something else than integers.
    """
    if not modes or not set(modes) <= set(MODES):
        raise QuantizationError(f"modes is {modes!r}; expected one or more of {', '.join(MODES)}.")
    path = Path(program_path)
    program = load(path)
    counts = {name: dict.fromkeys(COUNTS, 0) for name in program.values}
    images = 0
    with tempfile.TemporaryDirectory(prefix="hatlite-alignment-") as folder:
        for images, img in enumerate(_one_by_one(batches), start=1):  # noqa: B007 (counts)
            first = _record_in(graph, img, modes[0])
            save_recording(Path(folder, "image.npz"), _inputs(program, img), first)
            _merge(counts, _replay(path, Path(folder, "image.npz")))
            for mode in modes[1:]:
                _compare_modes(counts, first, _record_in(graph, img, mode))
    if not images:
        raise QuantizationError("The alignment check got no image; give it at least one.")
    layers = tuple(_layer(graph, program, name, counts[name]) for name in program.values)
    return AlignmentReport(str(path), images, tuple(modes), layers, stale_layers(graph, program))


def stale_layers(graph: FakeQuantGraph, program: IntProgram) -> tuple[str, ...]:
    """Return the operators whose constants or settings are not those that `graph` has now; a fresh file has none."""
    now = {op.name: op for op in lower(graph, get_march(program.march)).ops}
    return tuple(op.name for op in program.ops if not _same(op, now.get(op.name)))


def _same(a: Any, b: Any) -> bool:
    if dataclasses.is_dataclass(a) and type(a) is type(b):
        return all(_same(getattr(a, f.name), getattr(b, f.name)) for f in dataclasses.fields(a) if f.name != "source")
    return np.array_equal(a, b) if isinstance(a, np.ndarray) else bool(a == b)


def _as_integers(graph: FakeQuantGraph, name: str, q: torch.Tensor) -> Ints:
    integers = q.to(torch.int32)
    if not torch.equal(integers.to(q.dtype), q):
        odd = float(q[integers.to(q.dtype) != q].flatten()[0])
        site = graph.sites[name]
        raise QuantizationError(f"{site.path} ({site.line}) gives {odd:g}, which is no 32-bit integer.")
    integers = integers if integers.ndim == 4 else integers[:, :, None, None]
    return integers.permute(0, 2, 3, 1).contiguous().cpu().numpy()


def _record_in(graph: FakeQuantGraph, img: torch.Tensor, mode: str) -> dict[str, Ints]:
    """Record as evaluation (no gradients) or as training (with gradients) runs the graph."""
    with _all_in(graph, mode), torch.set_grad_enabled(mode == "train"):
        return record(graph, img)


@contextmanager
def _all_in(graph: FakeQuantGraph, mode: str) -> Iterator[None]:
    before = {module: module.training for module in graph.modules()}
    graph.train(mode == "train")
    try:
        yield
    finally:
        for module, training in before.items():
            module.training = training


def _one_by_one(batches: Iterable[torch.Tensor]) -> Iterator[torch.Tensor]:
    for batch in batches:
        yield from batch.split(1)


def _inputs(program: IntProgram, img: torch.Tensor) -> dict[str, NDArray[Any]]:
    """Quantise the image as a caller of the program does, without the graph."""
    port = program.inputs[0]
    pixels_NHWC = np.ascontiguousarray(img.cpu().permute(0, 2, 3, 1).numpy())
    return {port.name: quantize(pixels_NHWC, float(port.scale), port.dtype, program.values[port.value].limits)}


def _replay(program: Path, recording: Path) -> dict[str, dict[str, int]]:
    """Start the fresh process and return what it counted."""
    home = str(Path(hatlite.__file__).parents[1])  # the package that runs here, installed or not
    python_path = os.pathsep.join(filter(None, (home, os.environ.get("PYTHONPATH"))))
    command = [sys.executable, "-m", "hatlite.executor.replay", str(program), str(recording)]
    env = {**os.environ, "PYTHONPATH": python_path, "PYTHONIOENCODING": "utf-8"}
    result = subprocess.run(command, env=env, capture_output=True, encoding="utf-8", check=False)
    if result.returncode not in (0, 1) or not result.stdout:
        raise ProgramError(f"The replay of {program} failed: {result.stderr.strip() or f'exit {result.returncode}'}")
    found = json.loads(result.stdout)
    if found["foreign_modules"]:
        raise ProgramError(
            f"The replay of {program} is no independent witness: it imported {', '.join(found['foreign_modules'][:3])}."
            " Look for a sitecustomize or .pth file that imports them into every Python."
        )
    return found["values"]


def _merge(counts: Mapping[str, dict[str, int]], found: Mapping[str, Mapping[str, int]]) -> None:
    for name, count in counts.items():
        count["elements"] += found[name]["elements"]
        count["differing"] += found[name]["differing"]
        count["max_lsb"] = max(count["max_lsb"], found[name]["max_lsb"])
        if "saturated" in found[name]:
            count["saturated"] = count.get("saturated", 0) + found[name]["saturated"]


def _compare_modes(counts: Mapping[str, dict[str, int]], first: Mapping[str, Ints], other: Mapping[str, Ints]) -> None:
    for name, count in counts.items():
        difference = np.abs(first[name].astype(np.int64) - other[name])
        count["mode_differing"] += int(np.count_nonzero(difference))
        count["mode_max_lsb"] = max(count["mode_max_lsb"], int(difference.max()))


def _layer(graph: FakeQuantGraph, program: IntProgram, name: str, count: Mapping[str, int]) -> LayerAlignment:
    kind = next((op.kind for op in program.ops if op.output == name), "input")
    site, dtype = graph.sites[name], program.values[name].dtype
    return LayerAlignment(kind=kind, name=name, module=site.path, line=site.line, dtype=dtype, **count)
