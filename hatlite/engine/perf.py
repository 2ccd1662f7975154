"""How fast would a run's network be? Its program found or made, and the estimate of its march."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from hatlite.compiler import CompilerOptions, PerfReport, estimate
from hatlite.engine.converters import require_own
from hatlite.engine.inspection import lower_from_config
from hatlite.engine.program_files import is_program, load_program
from hatlite.engine.run import Run
from hatlite.engine.sections import section
from hatlite.errors import ConfigError
from hatlite.march import get_march
from hatlite.program import IntProgram

__all__ = ["COMPILE_KEYS", "PerfSettings", "estimate_run", "perf_settings"]

_SOURCE = Literal["ddr", "pyramid", "resizer"]
_LAYOUT = Literal["NHWC", "NCHW", "BPU_RAW"]
_LATER: dict[str, Any] = {
    "hbm": str | Path,
    "layer_details": bool,
    "input_source": _SOURCE | Sequence[_SOURCE] | Mapping[str, _SOURCE],
    "input_layout": _LAYOUT | Sequence[_LAYOUT],
    "output_layout": _LAYOUT | Sequence[_LAYOUT],
    "split_dim": dict | None,
    "transpose_dim": dict | None,
    "jobs": int,
    "balance_factor": int,
    "debug": bool,
    "extra_args": str | Sequence[str] | None,
}
COMPILE_KEYS: dict[str, Any] = {
    "march": str,
    "name": str,
    "out_dir": str | Path,
    "opt": int | str,
    **_LATER,
}
"""Keys of ``compile_cfg``; those of `_LATER` are for the file of a device, which is not made yet."""


@dataclass(frozen=True)
class PerfSettings:
    """What ``compile_cfg`` says, with the rest filled in.

    Attributes:
        name: Of the program in the report; None leaves the one that it has.
        out_dir: Folder for the report.
        march: The machine.
        options: What the compiler is asked for.
    """

    name: str | None
    out_dir: Path
    march: str
    options: CompilerOptions


def perf_settings(run: Run) -> PerfSettings:
    """Return the settings of ``config['compile_cfg']``.

    Raises:
        ConfigError: It has an unknown key or a wrong value, or another march than the config.
    """
    given = section(run.config, "compile_cfg", COMPILE_KEYS)
    try:
        options = CompilerOptions.parse(given.get("opt", CompilerOptions().opt_level))
    except ConfigError as problem:
        problem.locate("config['compile_cfg']")
        raise
    march = run.config["march"]
    if given.get("march", march) != march:
        raise ConfigError(
            f"config['compile_cfg']['march'] is {given['march']!r} and config['march'] is {march!r}, which programs are"
            " lowered for; leave it out of compile_cfg, which takes the config's.",
            path="config['compile_cfg']['march']",
        )
    return PerfSettings(given.get("name"), Path(given.get("out_dir", ".")), march, options)


def estimate_run(
    run: Run, settings: PerfSettings, checkpoint: str | Path | None = None, *, random_params: bool = False
) -> tuple[PerfReport, str]:
    """Return what the run's program costs on its march, and where the program came from, in words.

    Args:
        run: Config and folder.
        settings: From :func:`perf_settings`.
        checkpoint: A ``.hbir``, or a checkpoint of a calibration or qat stage, to take instead of the run's program.
        random_params: Take random weights, as is done where the run has no program yet; cycles do not depend on them.

    Raises:
        ProgramError, CheckpointError: The file cannot be used, or belongs to another config.
        MarchError: The march is unknown, or cannot run the program.
    """
    march = get_march(settings.march)
    program, origin = _program(run, None if random_params else checkpoint, random_params)
    if settings.name is not None:
        program = replace(program, name=settings.name)
    return estimate(program, march, settings.options), origin


def _program(run: Run, checkpoint: str | Path | None, random_params: bool) -> tuple[IntProgram, str]:
    made = run.program()
    if checkpoint is None and made.is_file() and not random_params:
        checkpoint = made
    if checkpoint is None:
        reason = "as asked for" if random_params else f"no checkpoint is named and there is no {made} yet"
        return lower_from_config(run.config), f"Random weights: {reason}."
    if is_program(Path(checkpoint)):
        loaded = load_program(Path(checkpoint))
        require_own(run, loaded, Path(checkpoint))
        return loaded, f"Program: {checkpoint}"
    return lower_from_config(run.config, checkpoint), f"Checkpoint: {checkpoint}"
