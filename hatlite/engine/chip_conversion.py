"""From a run to the files of its chip model."""

import json
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hatlite.chip import Numbers, cap_lines, chip_model_bytes, dat_json, model_json
from hatlite.engine.chip_settings import SETTINGS_FILE, settings_text
from hatlite.engine.converters import is_program
from hatlite.engine.host_facts import host_facts
from hatlite.engine.onnx_files import run_program
from hatlite.engine.run import Run
from hatlite.engine.stages import lower_stage
from hatlite.files import output_folder, whole_file
from hatlite.program import IntProgram

__all__ = ["ChipFiles", "chip_folder", "convert_to_chip"]

MODEL_FILE = "out.model"


@dataclass(frozen=True)
class ChipFiles:
    """What was written.

    Attributes:
        program: As it stands in the model.
        model: The chip model; the others lie beside it.
        caps: A cap to a line.
        layers: JSON of the layers.
        network: JSON of what goes in and comes out.
        settings: With which tools/GNetDet.py runs it.
    """

    program: IntProgram
    model: Path
    caps: Path
    layers: Path
    network: Path
    settings: Path


def convert_to_chip(
    run: Run,
    checkpoint: str | os.PathLike[str] | None = None,
    out: str | os.PathLike[str] | None = None,
    *,
    learning: Numbers = (),
    last_layer_out: Numbers = (),
) -> ChipFiles:
    """Lower what the stage int_infer starts from and write it as a chip model, with what belongs to it.

    All is made, checked and read back before the first file is written; the program that the run has left stays.

    Args:
        run: Config and folder.
        checkpoint: Of a stage with caps folded in, or a program, in place of what int_infer starts from.
        out: The model's file, or a folder for it; default: :func:`chip_folder`.
        learning: Numbers of major layers all of whose results the layers' JSON asks for.
        last_layer_out: Numbers of those whose last result it asks for.

    Raises:
        ConfigError: Problems of the config, all together.
        StageError, CheckpointError, ProgramError, QuantizationError: There is nothing to convert, or it cannot be used.
        MarchError: It exceeds limits of the chip, all of which are listed.
        OutputError: A file cannot be written.
    """
    model = _model_path(run, out)
    with output_folder(model.parent, of=model):
        program = _program(run, checkpoint)
        files = _files(program, model)
        contents = {
            files.model: chip_model_bytes(program),
            files.caps: cap_lines(program).encode(),
            files.layers: _json(dat_json(program, learning=learning, last_layer_out=last_layer_out)),
            files.network: _json(model_json(program)),
            files.settings: settings_text(program).encode(),
        }
        for path, content in contents.items():
            with whole_file(path) as unfinished:
                unfinished.write_bytes(content)
    return files


def _program(run: Run, checkpoint: str | os.PathLike[str] | None) -> IntProgram:
    named_program = checkpoint is not None and is_program(Path(checkpoint))
    program = run_program(run, checkpoint) if named_program else lower_stage(run, checkpoint)
    return replace(program, metadata={**program.metadata, **host_facts(run)})


def _files(program: IntProgram, model: Path) -> ChipFiles:
    kind = "_448" if program.values[program.inputs[0].value].shape[0] == 448 else ""
    names = ("relu_cap.txt", f"5801_gnetdet_dat{kind}.json", f"5801_gnetdet_model{kind}.json", SETTINGS_FILE)
    return ChipFiles(program, model, *(model.parent / name for name in names))


def chip_folder(run: Run) -> Path:
    """Return where the files of a run's chip model go."""
    return run.folder / "model"


def _model_path(run: Run, out: str | os.PathLike[str] | None) -> Path:
    path = chip_folder(run) if out is None else Path(out)
    return path if path.suffix == ".model" and not path.is_dir() else path / MODEL_FILE


def _json(content: dict[str, Any]) -> bytes:
    return (json.dumps(content, indent=2) + "\n").encode()
