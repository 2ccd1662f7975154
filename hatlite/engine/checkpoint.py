"""Checkpoint files: tensors and plain values, written whole or not at all.

Keys of a file::

    format             1
    stage, task_name   who wrote it
    config             the resolved config as JSON text, classes by dotted name
    classes            class names in index order
    structure          parameter name → shape; a pruned model will be rebuilt from it
    state_dict         the trained weights; a quantised model adds `network.sites.*`
    ema_state_dict     their moving average, where one was kept
    optimizer, callbacks, random_state, epoch, step, step_in_epoch      what --resume needs
    seconds            of all runs up to here, those that were resumed included
    metrics            name → float, measured on the weights that `deployed_weights` returns
"""

import json
import re
import warnings
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from hatlite import class_names
from hatlite.errors import CheckpointError
from hatlite.files import whole_file
from hatlite.log import get_logger

__all__ = [
    "check_fit",
    "check_resumable",
    "deployed_weights",
    "describe",
    "has_sites",
    "is_checkpoint",
    "load_checkpoint",
    "load_weights",
    "read_tensors",
    "save_checkpoint",
    "say_what_is_left",
]

logger = get_logger(__name__)

FORMAT = 1
READ = {"stage": str, "task_name": str, "config": str, "classes": list, "state_dict": dict}
"""Entries that every reader relies on, and what they are."""
SITES = "network.sites."
"""Names below this prefix exist in quantised models only."""

RANGES = re.compile(rf"{re.escape(SITES)}.*\.(asked_scale|log_scale|running_range\..*)")
"""Names of what exists only where training moves ranges."""

KEYS_SHOWN = 5


def describe(model: torch.nn.Module, run: Any) -> dict[str, Any]:
    """Return what a checkpoint says about its origin.

    Args:
        model: Whose structure to note.
        run: A :class:`hatlite.engine.loop.RunInfo`.
    """
    return {
        "format": FORMAT,
        "stage": run.stage,
        "task_name": run.task_name,
        "config": run.config,
        "classes": list(run.classes),
        "structure": {name: list(parameter.shape) for name, parameter in model.named_parameters()},
    }


def save_checkpoint(state: Mapping[str, Any], path: Path) -> None:
    """Write `state` to `path`, whole or not at all; the folder is made."""
    with whole_file(path) as unfinished, unfinished.open("wb") as file:  # torch would not say why a name fails
        torch.save(dict(state), file)


def load_checkpoint(path: str | Path, *, hint: str = "") -> dict[str, Any]:
    """Read a checkpoint onto the CPU; no code in it is ever run (``weights_only=True``).

    Args:
        path: The file.
        hint: How to make it or what to take instead, for the message when it is missing or damaged.

    Raises:
        CheckpointError: The file is missing, damaged, or no checkpoint of hatlite.
    """
    state = read_tensors(path, hint=hint)
    if not is_checkpoint(state):
        found = state.get("format") if isinstance(state, dict) else None
        raise CheckpointError(f"{path} is no hatlite checkpoint of format {FORMAT} (its format is {found!r}).")
    wrong = [key for key, kind in READ.items() if not isinstance(state.get(key), kind)]
    if wrong:
        raise CheckpointError(
            f"{path} is no whole checkpoint of hatlite: it lacks {', '.join(wrong)}, or has something else there; run"
            " its stage again."
        )
    with zipfile.ZipFile(path) as archive:
        changed = archive.testzip()  # torch.load does not compare the checksums that torch.save wrote
    if changed is not None:
        raise CheckpointError(f"{path} is damaged: the checksum of {changed} differs; run its stage again.")
    return state


def is_checkpoint(state: Any) -> bool:
    """Return whether `state` is what :func:`save_checkpoint` wrote."""
    return isinstance(state, dict) and state.get("format") == FORMAT


def read_tensors(path: str | Path, *, hint: str = "") -> Any:
    """Return what ``torch.save`` wrote to `path`; arguments and dangers as for :func:`load_checkpoint`.

    Raises:
        CheckpointError: The file is missing or damaged.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"There is no checkpoint {path}.{chr(10) + '  ' + hint if hint else ''}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about what a foreign file was written by; the error says enough
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as cause:  # bytes that are no pickle end in any of a dozen
        text = f"{path} is damaged or no checkpoint ({type(cause).__name__})."
        raise CheckpointError(f"{text}\n  {hint or 'Name another file.'}") from cause


def deployed_weights(checkpoint: Mapping[str, Any]) -> Mapping[str, torch.Tensor]:
    """Return the weights that count: the moving average where one was kept, else the trained ones."""
    return checkpoint.get("ema_state_dict", checkpoint["state_dict"])


def has_sites(checkpoint: Mapping[str, Any]) -> bool:
    """Return whether `checkpoint` is of a quantised model, with the scales of its sites."""
    return any(name.startswith(SITES) for name in deployed_weights(checkpoint))


def say_what_is_left(checkpoint: Mapping[str, Any], path: str | Path) -> None:
    """Say that a float model takes the weights of `checkpoint` alone, if there is more in it."""
    if has_sites(checkpoint):
        logger.info("%s is of stage %r: its weights are taken, without its scales.", path, checkpoint["stage"])


def load_weights(
    model: torch.nn.Module,
    checkpoint: Mapping[str, Any],
    *,
    path: str | Path,
    run: Any,
    need_sites: bool = False,
    allow_miss: bool = False,
    ignore_extra: bool = False,
    new_ranges: bool = False,
    verbose: bool = False,
    update: Callable[[dict[str, torch.Tensor]], Mapping[str, torch.Tensor]] | None = None,
) -> None:
    """Load the deployed weights of `checkpoint` into `model`; both must describe the same network.

    Float and quantised models share parameter names: sites that the checkpoint lacks keep their state, and sites that
    the model lacks are left out.

    Args:
        model: Float or quantised detector.
        checkpoint: From :func:`load_checkpoint`.
        path: Its file, for messages.
        run: A :class:`hatlite.engine.loop.RunInfo`, the run that asks.
        need_sites: The checkpoint must hold the sites of a quantised model too.
        allow_miss: Entries that the checkpoint lacks keep their values.
        ignore_extra: Entries that the model lacks are left out.
        new_ranges: Ranges of activations are still to be found, so that it does not matter whether the checkpoint was
            written by training that moves them.
        verbose: Log the names of both.
        update: Changes the weights, name → tensor, before they are compared.

    Raises:
        CheckpointError: Names, shapes or classes differ, or `update` returns no weights.
    """
    weights = deployed_weights(checkpoint)
    if update is not None:
        weights = update(dict(weights))
        if not isinstance(weights, Mapping):
            raise CheckpointError(f"state_dict_update_func returned {weights!r} for {path}; it returns the weights.")
    own = model.state_dict()
    missing, extra = [n for n in own if n not in weights], [n for n in weights if n not in own]
    kept = [n for n in missing if allow_miss or (new_ranges and RANGES.fullmatch(n))]
    left_out = {n for n in extra if ignore_extra or (new_ranges and RANGES.fullmatch(n))}
    judged = {n: own[n] for n in kept} | {n: w for n, w in weights.items() if n not in left_out}
    check_fit(model, judged, checkpoint, path=path, run=run, need_sites=need_sites)
    if verbose:
        logger.info("%s: kept what it lacks, %s; left out %s.", path, missing or "nothing", extra or "nothing")
    model.load_state_dict({n: w for n, w in weights.items() if n in own}, strict=False)


def check_resumable(model: torch.nn.Module, checkpoint: Mapping[str, Any], *, path: str | Path, run: Any) -> None:
    """Refuse to resume `run` from a checkpoint of another stage, task, network, class list or optimizer.

    Raises:
        CheckpointError: It belongs to another run.
    """
    if (checkpoint["stage"], checkpoint["task_name"]) != (run.stage, run.task_name):
        raise CheckpointError(
            f"{_origin(checkpoint, path)} cannot be resumed by {_asking(run)}; start without --resume."
        )
    check_fit(model, checkpoint["state_dict"], checkpoint, path=path, run=run, need_sites=True)
    key = f"{run.stage}_trainer"
    theirs, ours = ((json.loads(text).get(key) or {}).get("optimizer") for text in (checkpoint["config"], run.config))
    if theirs is None or ours is None or theirs == ours:
        return
    changed = next(name for name in (*ours, *theirs) if ours.get(name) != theirs.get(name))
    raise CheckpointError(
        f"config[{key!r}]['optimizer'][{changed!r}] is {ours.get(changed)!r} and was {theirs.get(changed)!r} in {path},"
        " whose optimizer --resume takes over as it is; set it back, or start without --resume."
    )


def check_fit(
    model: torch.nn.Module,
    weights: Mapping[str, torch.Tensor],
    checkpoint: Mapping[str, Any],
    *,
    path: str | Path,
    run: Any,
    need_sites: bool,
) -> None:
    """Compare names, shapes, classes, and where scales are loaded the march; arguments as for :func:`load_weights`.

    Raises:
        CheckpointError: Something differs; the first few names are told.
    """
    _check_classes(checkpoint, path, run)
    own = model.state_dict()
    if any(n.startswith(SITES) and n in own for n in weights):
        _check_march(checkpoint, path, run)
    names = [n for n in (*own, *weights) if need_sites or not n.startswith(SITES)]
    missing = [n for n in names if n not in weights]
    extra = [n for n in names if n not in own]
    both = [n for n in own if n in weights and n in names and weights[n].shape != own[n].shape]
    shapes = [f"{n} {list(weights[n].shape)} instead of {list(own[n].shape)}" for n in both]
    found = [("lacks", missing), ("has unknown", extra), ("has other shapes for", shapes)]
    problems = [_listed(verb, names) for verb, names in found if names]
    if problems:
        lines = "".join(f"\n  It {problem}" for problem in problems)
        raise CheckpointError(
            f"{_origin(checkpoint, path)} does not fit the model of {_asking(run)}.{lines}"
            f"\n  Use the config and --opts that it was written with, or run stage {checkpoint['stage']!r} again."
        )


def _check_classes(checkpoint: Mapping[str, Any], path: str | Path, run: Any) -> None:
    theirs, ours = checkpoint["classes"], run.classes
    if theirs and ours and (differs := class_names.difference(theirs, ours, "the checkpoint", "this run")):
        raise CheckpointError(
            f"{_origin(checkpoint, path)} was trained on other classes than {_asking(run)} has: {differs}."
            "\n  Take the config and the data that it was trained with, or train anew."
        )


def _check_march(checkpoint: Mapping[str, Any], path: str | Path, run: Any) -> None:
    """Refuse scales that another march's arithmetic chose: they would be taken for what they are not."""
    theirs, ours = (json.loads(text).get("march") for text in (checkpoint["config"], run.config))
    if None not in (theirs, ours) and theirs != ours:
        raise CheckpointError(
            f"{_origin(checkpoint, path)} was quantised for march {theirs!r}, and {_asking(run)} has {ours!r}; give"
            f" --opts march={theirs}, or calibrate anew for {ours!r} from a float checkpoint."
        )


def _origin(checkpoint: Mapping[str, Any], path: str | Path) -> str:
    return f"Checkpoint {path} (task {checkpoint['task_name']!r}, stage {checkpoint['stage']!r})"


def _asking(run: Any) -> str:
    return f"task {run.task_name!r}, stage {run.stage!r}"


def _listed(verb: str, names: list[str]) -> str:
    more = f" and {len(names) - KEYS_SHOWN} more" if len(names) > KEYS_SHOWN else ""
    return f"{verb} {', '.join(names[:KEYS_SHOWN])}{more}."
