"""What the toolkit's keys say to the converter: which checkpoint, which file, and what of the config is another."""

from collections.abc import Mapping, Sequence
from typing import Any

from hatlite.engine.host_facts import THRESHOLDS
from hatlite.engine.run import Run
from hatlite.engine.steps.checkpoint_path import find_checkpoint
from hatlite.engine.steps.command import read_given, step_overrides
from hatlite.engine.steps.keys import known_key
from hatlite.engine.steps.stages import stage_of_step
from hatlite.engine.steps.words import read_value, spelt
from hatlite.errors import ConfigError, StageError

__all__ = ["step_to_convert"]

CHIP_STEP = 4
OWN = {"best_ckpt_path": "text", "out_model_path": "text", "dump_mode": "yes or no"}
"""Keys of the converter alone, and what they take."""
BESIDE = ("cap_txt_path", "convert_model_path", "dat_json_path", "dat_json_448_path")
BESIDE += ("model_json_path", "model_json_448_path")
"""Keys of files that lie beside the model here."""


def step_to_convert(
    source: str,
    words: Mapping[str, str],
    checkpoint: str | None = None,
    *,
    opts: Sequence[str] = (),
    device: str | None = None,
) -> tuple[Run, dict[str, Any]]:
    """Return the run of a config with what the toolkit's keys say overridden, and the arguments of the conversion.

    Args:
        source, opts, device: As for :meth:`Run.load`.
        words: From :func:`hatlite.engine.steps.words.read_words`.
        checkpoint: A file, or ``checkpoint/step4/best.pth``; it comes before ``best-ckpt-path``.

    Returns:
        Run, and those of ``checkpoint``, ``out`` and ``learning`` that are said.

    Raises:
        ConfigError: A key or value cannot be used, or changes nothing here.
        CheckpointError, StageError: There is nothing to convert.
    """
    own = {key: read_value(key, words[key], takes) for key, takes in OWN.items() if key in words}
    given = read_given(_of_the_config({key: text for key, text in words.items() if key not in own}))
    run = Run.load(source, opts, device)
    said = [f"{key}={given.pop(key)!r}" for key in THRESHOLDS if key in given]  # not the decoder's, which evaluates
    said += step_overrides(run, stage_of_step(run, CHIP_STEP), given)
    run = Run.load(source, [*said, *opts], device)
    arguments: dict[str, Any] = {"learning": "all"} if own.get("dump_mode") else {}
    if "out_model_path" in own:
        arguments["out"] = own["out_model_path"]
    named = checkpoint or own.get("best_ckpt_path")
    if named is not None:
        arguments["checkpoint"] = find_checkpoint(run, named)
        if arguments["checkpoint"] is None:
            raise StageError(f"{named}: step 0 is where nothing has been trained yet; name the checkpoint of step 4.")
    return run, arguments


def _of_the_config(words: Mapping[str, str]) -> Mapping[str, str]:
    """Return `words` if none of them is about training or about files that have one place."""
    for key in words:
        if key in BESIDE:
            raise ConfigError(f"{spelt(key)} has nothing to do: it lies beside the model; out-model-path places both.")
        if known_key(key).trains:
            raise ConfigError(f"{spelt(key)} has nothing to do: a conversion trains nothing; leave it out.")
    return words
