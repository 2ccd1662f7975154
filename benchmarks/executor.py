"""The executor beside float and int8 runtimes on four networks: medians of interleaved runs, 2 threads.

Images are 1×3×512×512; of GNetDet, which runs with kernels of codes and values of five bits on the march gti5801,
1×3×448×448.

    python benchmarks/executor.py [--models NAME…] [--engines NAME…] [--rounds 20] [--threads 2] [--json FILE]

All int8 sides run the same integers: ONNX Runtime and OpenVINO the QDQ export, whose activations are uint8. Every side
gets and returns arrays in memory. `differing outputs` are integers that are not the reference engine's. A runtime that
is not installed is left out; pip install -e '.[bench]' brings them.

Sides take turns, so that a slow minute of the machine meets all of them. Each runtime has threads of its own, which
go on spinning for a while after a run: on two cores the next side would share them with its predecessor. Before each
timed run the process therefore waits until it uses no processor time any more, then the side runs once untimed (its
threads are awake and its data is in the caches, as in a program that does nothing else), then the clock runs. Threads
that spin for ever are refused: OMP_WAIT_POLICY must not be ACTIVE. ONNX Runtime is prepared with and without spinning
threads (session.intra_op.allow_spinning), and the faster of the two counts.

With --threads 1 what counts are milliseconds of the processor, which other programs of a machine change little.
"""

import argparse
import importlib
import importlib.util
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from networks import NETWORKS, build, images, pixels

from hatlite.engine.allocator import keep_freed_memory
from hatlite.executor import Executor
from hatlite.export import to_onnx
from hatlite.lowering import lower
from hatlite.march import get_march
from hatlite.ops.integer.fixed_point import quantize
from hatlite.quantization import QConfig, prepare

THREADS = 2
PACKAGES = {"onnxruntime_int8": "onnxruntime", "onnxruntime_float": "onnxruntime", "openvino_int8": "openvino"}
ENGINES = frozenset(("hatlite", "torch_eager", "torch_compile", *PACKAGES))
Side = Callable[[], dict[str, np.ndarray]]


def program_of(network, march):
    draw, qconfig = (pixels if march == "gti5801" else images), QConfig(march=march)
    graph = prepare(network, qconfig, draw(1))
    with torch.no_grad():
        graph(draw(2))
    graph.finish_calibration()
    if graph.simulation is not None:
        graph.take_unit_scales()
    return lower(graph, get_march(march))


def float_sides(network, image, wanted):
    eager = network.to(memory_format=torch.channels_last)
    image = image.contiguous(memory_format=torch.channels_last)

    def run(module):
        with torch.inference_mode():
            return module(image)

    sides = {"torch_eager": lambda: run(eager)}
    if "torch_compile" not in wanted:
        return sides
    compiled = torch.compile(eager)
    try:
        run(compiled)
        sides["torch_compile"] = lambda: run(compiled)
    except Exception as problem:  # no C++ compiler on this machine
        print(f"torch_compile left out: {type(problem).__name__}")
    return sides


def threads() -> int:
    return torch.get_num_threads()


def onnx_side(path: Path, image: np.ndarray, *, spinning: bool) -> Side:
    onnxruntime = importlib.import_module("onnxruntime")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads(), 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.add_session_config_entry("session.intra_op.allow_spinning", str(int(spinning)))
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    names, feed = [one.name for one in session.get_outputs()], {session.get_inputs()[0].name: image}
    return lambda: dict(zip(names, session.run(names, feed), strict=True))


def onnx_sides(name: str, path: Path, image: np.ndarray) -> dict[str, Side]:
    """Return the settings of one engine; the name before the blank is the engine's."""
    return {name: onnx_side(path, image, spinning=True), f"{name} asleep": onnx_side(path, image, spinning=False)}


def openvino_side(path: Path, image: np.ndarray) -> Side:
    openvino = importlib.import_module("openvino")
    core = openvino.Core()
    hints = {"INFERENCE_NUM_THREADS": threads(), "PERFORMANCE_HINT": "LATENCY"}
    model = core.compile_model(str(path), "CPU", hints)
    names = [one.get_any_name() for one in model.outputs]
    return lambda: {name: value for name, value in zip(names, model([image]).values(), strict=True)}


def sides_of(network, folder: Path, march: str = "bayes-sim", wanted=ENGINES):
    """Return (name → side, name → differing outputs) of one network; torch eager and hatlite are always there."""
    program = program_of(network, march)
    image = pixels(1) if march == "gti5801" else images(1)
    port = program.inputs[0]
    nhwc = image.permute(0, 2, 3, 1).contiguous().numpy()
    integers = {"img": quantize(nhwc, float(port.scale), port.dtype)}
    executor = Executor(program)
    print(f"engine {executor.engine}: {tally(executor.kernels)}")
    sides: dict[str, Side] = {"hatlite": lambda: executor.run(integers)}
    sides |= float_sides(network, image, wanted)
    planar = np.ascontiguousarray(integers["img"].transpose(0, 3, 1, 2))
    if wanted.intersection(("onnxruntime_int8", "openvino_int8")):
        importlib.import_module("onnx").save(to_onnx(program, "qdq"), folder / "qdq.onnx")
    if "onnxruntime_int8" in wanted:
        sides |= onnx_sides("onnxruntime_int8", folder / "qdq.onnx", planar)
    if "onnxruntime_float" in wanted:
        torch.onnx.export(network, (image,), str(folder / "float.onnx"), input_names=["img"], dynamo=False)
        sides |= onnx_sides("onnxruntime_float", folder / "float.onnx", image.numpy())
    if "openvino_int8" in wanted:
        sides["openvino_int8"] = openvino_side(folder / "qdq.onnx", planar)
    expected = Executor(program, "reference").run(integers)
    expected = {name: value.transpose(0, 3, 1, 2) for name, value in expected.items()}
    differing = {}
    for name in ("hatlite", "onnxruntime_int8", "openvino_int8"):
        if name in sides:
            got = sides[name]()
            got = {k: v.transpose(0, 3, 1, 2) for k, v in got.items()} if name == "hatlite" else got
            differing[name] = sum(int((expected[key] != got[key]).sum()) for key in expected)
    return sides, differing


def tally(kernels: dict[str, str]) -> str:
    return ", ".join(f"{list(kernels.values()).count(kind)} {kind}" for kind in dict.fromkeys(kernels.values()))


def settle(still: float = 2e-3, patience: float = 2.0) -> None:
    """Wait until the threads of this process sleep: a pause of 2 ms in which it takes less than 5 % of a core."""
    end = time.monotonic() + patience
    while time.monotonic() < end:
        wall, used = time.perf_counter(), time.process_time()
        time.sleep(still)
        if time.process_time() - used < 0.05 * (time.perf_counter() - wall):
            return
    raise SystemExit(f"threads still spin after {patience} s; start without OMP_WAIT_POLICY=ACTIVE")


def measure(sides: dict[str, Side], rounds: int) -> dict[str, float]:
    """Return the median milliseconds of each engine in its best setting; the first three rounds only warm up."""
    clock = time.process_time if threads() == 1 else time.perf_counter
    taken: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(rounds + 3):
        for name, side in sides.items():
            settle()
            side()
            started = clock()
            side()
            if turn >= 3:
                taken[name].append(1e3 * (clock() - started))
    medians = {name: statistics.median(values) for name, values in taken.items()}
    engines = dict.fromkeys(name.split()[0] for name in sides)
    return {one: min(ms for name, ms in medians.items() if name.split()[0] == one) for one in engines}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", choices=list(NETWORKS), default=list(NETWORKS))
    parser.add_argument("--engines", nargs="+", choices=sorted(ENGINES), default=sorted(ENGINES))
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--threads", type=int, default=THREADS)
    parser.add_argument("--json", type=Path, help="write rows of model, engine, median_ms, differing_outputs")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    keep_freed_memory()
    wanted = {name for name in arguments.engines if importlib.util.find_spec(PACKAGES.get(name, "torch"))}
    rows = []
    for model in arguments.models:
        with tempfile.TemporaryDirectory() as folder:
            march = "gti5801" if model.startswith("gnetdet") else "bayes-sim"
            sides, differing = sides_of(build(model), Path(folder), march, wanted)
            medians = measure(sides, arguments.rounds)
        print(f"\n{model}, {march}, {arguments.rounds} rounds, {arguments.threads} threads, torch {torch.__version__}")
        for engine, milliseconds in medians.items():
            row = {
                "model": model,
                "engine": engine,
                "median_ms": milliseconds,
                "differing_outputs": differing.get(engine),
            }
            rows.append(row)
            ratio, wrong = medians["hatlite"] / milliseconds, differing.get(engine, "")
            print(f"  {engine:18s} {milliseconds:9.1f} ms   hatlite / it {ratio:6.2f}   differing outputs {wrong}")
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
