"""Looks at what a run left, without running a stage: the tools' way to its program."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hatlite.analysis import AlignmentReport
from hatlite.analysis.alignment import stale_layers
from hatlite.engine.alignment import check_run
from hatlite.engine.certificate import write_certificate
from hatlite.engine.converters import lower_detector, require_program
from hatlite.engine.kinds import program_stage, quantized_network
from hatlite.engine.parts import build_model, quantize_random
from hatlite.engine.run import Run, Stage
from hatlite.errors import StageError
from hatlite.program import Certificate, IntProgram, load
from hatlite.quantization import FakeQuantGraph

__all__ = ["align_stage", "certify_stage", "lower_from_config"]


def align_stage(run: Run, num_images: int, checkpoint: Path | None = None) -> AlignmentReport:
    """Compare what int_infer started from with the program that it left; write ``alignment.json``.

    Args:
        run: Config and folder.
        num_images: Of the validation data, the first ones.
        checkpoint: File to take instead of the one that int_infer starts from.

    Raises:
        StageError: The run has no stage of kind int_infer, or its program or checkpoint does not exist.
    """
    return check_run(run, _graph(run, checkpoint), num_images)


def certify_stage(run: Run) -> Certificate:
    """Prove the program that int_infer left, ask the graph how far scales moved, and write ``certificate.json``.

    Args:
        run: Config and folder.

    Raises:
        StageError: As :func:`align_stage`, or the program is of other weights than the checkpoint.
        ProgramError: The program cannot be used.
    """
    graph = _graph(run)
    stale = stale_layers(graph, load(run.program()))
    if stale:
        raise StageError(
            f"{run.program()} is of other weights than the checkpoint that int_infer starts from: {len(stale)}"
            f" operators have other constants, first {stale[0]!r}.\n  Run this first: {run.command('int_infer')}"
        )
    return write_certificate(run, graph)


def _graph(run: Run, checkpoint: Path | None = None) -> FakeQuantGraph:
    """Return the graph that the run's program, which must exist, was lowered from."""
    stage = program_stage(run)
    require_program(run, run.program())
    return quantized_network(run, stage, Path(checkpoint) if checkpoint else None)


def lower_from_config(config: Mapping[str, Any], checkpoint: str | Path | None = None) -> IntProgram:
    """Return the integer program of a config, for tools that look at it without running a stage.

    Args:
        config: As loaded; its ``deploy_inputs`` give the image size where the data are not at hand.
        checkpoint: Of a calibration or qat stage; None takes random weights, calibrated on a random image.

    Raises:
        CheckpointError: The checkpoint is missing, damaged, of another run, or not quantised.
    """
    run = Run(dict(config))
    model = build_model(run)
    if checkpoint is None:
        quantize_random(run, model)
    else:
        model.network = quantized_network(run, Stage("int_infer", "int_infer"), Path(checkpoint))
    return lower_detector(run, model)
