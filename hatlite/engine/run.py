"""A run: a resolved config, its folder and its ordered stages."""

import copy
import os
import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hatlite import config as config_module
from hatlite.engine.derive import derive
from hatlite.engine.loop import RunInfo
from hatlite.errors import ConfigError, StageError
from hatlite.registry import nearest
from hatlite.typehints import describe, fits

__all__ = ["DEFAULT_STAGES", "Run", "Stage"]


@dataclass(frozen=True)
class Stage:
    """One step of a run.

    Attributes:
        name: Prefix of its checkpoints and key in ``stages.json``.
        kind: What it does; a key of ``hatlite.engine.stages.STAGE_KINDS``.
        starts_from: Stages whose weights it takes; the first that has a checkpoint counts. None start from nothing.
        gate: Smallest mAP as a fraction of the float stage's; None takes the kind's.
    """

    name: str
    kind: str
    starts_from: tuple[str, ...] = ()
    gate: float | None = None


_ENTRIES: dict[str, Any] = {
    "task_name": str,
    "ckpt_dir": str | Path,
    "seed": int | None,
    "stages": list,
    "gates": dict,
    "classes": list[str] | tuple[str, ...],
}
"""What the entries of a config that this module reads may be."""

QUANTIZE = ("training", "calibration")
"""Words that ``quantize`` may be, beside truth values and None."""

DEFAULT_STAGES = (
    Stage("float", "float"),
    Stage("calibration", "calibration", ("float",)),
    Stage("qat", "qat", ("calibration", "float")),
    Stage("int_infer", "int_infer", ("qat", "calibration")),
)


class Entries(dict[str, Any]):
    """A config's entries; one that is missing is a mistake of the config, wherever it is first looked for."""

    def __missing__(self, key: str) -> Any:
        """Refuse.

        Raises:
            ConfigError: Always; it names the entry.
        """
        raise ConfigError(f"config[{key!r}] is missing.", path=key)


@dataclass
class Run:
    """What every stage needs to know.

    Attributes:
        config: Resolved: a deep copy with the derived keys filled in (:func:`resolve`).
        source: How the user named the config, for the commands that messages print.
        opts: The overrides that came with it, for the same commands.
        device: Overrides the config's; None leaves it.
        flags: What else the command line had, for the same commands; ``--device-ids`` stands for `device` too.
        derived: Keys that :func:`resolve` added.
        stages: In order.
        classes: Class names of the data, once a loader was built; before that those that the config declares.
    """

    config: dict[str, Any]
    source: str = "CONFIG"
    opts: Sequence[str] = ()
    device: str | None = None
    flags: Sequence[str] = ()
    derived: frozenset[str] = field(init=False)
    stages: tuple[Stage, ...] = field(init=False)
    classes: tuple[str, ...] = field(init=False, default=())

    def __post_init__(self) -> None:
        given = frozenset(self.config)
        self.config = Entries(resolve(self.config))
        self.derived = frozenset(self.config) - given
        self.stages = stages_of(self.config)
        self.classes = self.declared_classes

    @classmethod
    def load(
        cls,
        source: str,
        opts: Sequence[str] = (),
        device: str | None = None,
        flags: Sequence[str] = (),
        *,
        stage: str | None = None,
    ) -> "Run":
        """Return the run of the config file `source`, as the command line of a tool names it.

        Args:
            source: The config file.
            opts: Overrides.
            device: Overrides the config's.
            flags: What else the command line had, for the commands that messages print.
            stage: What the tool is about to do; the config finds it in the environment as ``HAT_TRAINING_STEP``.

        Raises:
            ConfigError: The config or an override cannot be used.
        """
        with _environment("HAT_TRAINING_STEP", stage):
            config = config_module.load(source, opts)
        return cls(config, source=str(source), opts=opts, device=device, flags=flags)

    @property
    def folder(self) -> Path:
        """Where all files of the run go (``ckpt_dir``)."""
        return Path(self.config["ckpt_dir"])

    @property
    def declared_classes(self) -> tuple[str, ...]:
        """``config['classes']``; empty where the config leaves the names to the data."""
        return tuple(self.config.get("classes", ()))

    @property
    def task_name(self) -> str:
        """Name of the run."""
        return self.config["task_name"]

    def stage(self, name: str) -> Stage:
        """Return the stage called `name`.

        Raises:
            StageError: The run has no such stage.
        """
        names = [stage.name for stage in self.stages]
        if name not in names:
            usual = any(name == stage.name for stage in DEFAULT_STAGES)
            why = f"\n  config['stages'] leaves it out; {self.ask_checker}" if usual else nearest(name, names)
            raise StageError(f"There is no stage {name!r}; the stages are {', '.join(names)}.{why}")
        return self.stages[names.index(name)]

    @property
    def ask_checker(self) -> str:
        """What to do where the network may have no integer form, as the end of a sentence."""
        return f"tools/model_checker.py --config {self.source} says what of the network has no integer form."

    def checkpoint(self, stage: str, which: str | None = None) -> Path:
        """Return the checkpoint of `stage`: ``"best"``, ``"last"``, or None for what ``stage_checkpoint`` says."""
        return self.folder / f"{stage}-checkpoint-{which or self.config['stage_checkpoint']}.pth.tar"

    def program(self) -> Path:
        """Return the file of the integer program."""
        return self.folder / f"{self.task_name}.hbir"

    def command(self, stage: str | None = None, resume: bool = False, tool: str = "tools/train.py") -> str:
        """Return the command line that runs `tool` on `stage`, with the options that the user gave."""
        words = ["python", tool, *(["--stage", stage] if stage else []), "--config", self.source]
        words += ["--opts", *self.opts] if self.opts else []
        named = self.device and "--device-ids" not in self.flags
        words += [*(["--device", str(self.device)] if named else []), *self.flags]
        return " ".join(map(_quoted, [*words, "--resume"] if resume else words))

    def predecessor(self, stage: Stage) -> Path | None:
        """Return the checkpoint that `stage` starts from; None if it starts from nothing.

        Raises:
            StageError: It does not exist; the message holds the command that makes it.
        """
        if not stage.starts_from:
            return None
        paths = [self.checkpoint(name) for name in stage.starts_from]
        found = [path for path in paths if path.is_file()]
        if found:
            return found[0]
        other = self.checkpoint(stage.starts_from[0], "last")
        hint = f"\n  {other} exists: set stage_checkpoint='last' to use it." if other.is_file() else ""
        raise StageError(
            f"Stage {stage.name!r} starts from {paths[0]}, which does not exist.{hint}"
            f"\n  Run this first: {self.command(stage.starts_from[0])}"
        )

    def origin(self, stage: Stage) -> Path:
        """Return the checkpoint that `stage`, which cannot start from nothing, starts from.

        Raises:
            StageError: `stage` starts from nothing, or the checkpoint does not exist.
        """
        path = self.predecessor(stage)
        if path is None:
            raise StageError(
                f"Stage {stage.name!r} is of kind {stage.kind!r}, which cannot start from nothing;"
                f" give its entry in config['stages'] starts_from, the name of the stage before it."
            )
        return path

    def info(self, stage: str) -> RunInfo:
        """Return what the checkpoints of `stage` say about their origin."""
        return RunInfo(stage, self.task_name, self.folder, config_module.to_json(self.config), self.classes)


@contextmanager
def _environment(name: str, value: str | None) -> Iterator[None]:
    """Set a variable of the environment for a while; None leaves it as it is."""
    before = os.environ.get(name)
    if value is not None:
        os.environ[name] = value
    try:
        yield
    finally:
        if value is not None and before is None:
            del os.environ[name]
        elif value is not None:
            os.environ[name] = str(before)


def resolve(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a deep copy of `config` with the derived keys filled in, those it already has untouched.

    ``ckpt_dir``, ``stage_checkpoint``, ``march``, ``seed`` get their defaults; loaders without a seed of their own get
    the run's; the rest is :func:`hatlite.engine.derive.derive`.
    """
    resolved = {"seed": 0, "march": "bayes-sim", "stage_checkpoint": "best", **copy.deepcopy(dict(config))}
    if "task_name" not in resolved:
        raise ConfigError("config['task_name'] is missing; name the run, it becomes its folder.", path="task_name")
    for key, hint in _ENTRIES.items():
        if key in resolved and not fits(resolved[key], hint):
            raise ConfigError(f"config[{key!r}] is {resolved[key]!r}; expected {describe(hint)}.", path=key)
    _check_quantize(resolved.get("quantize"))
    if resolved["stage_checkpoint"] not in ("best", "last"):
        raise ConfigError(f"config['stage_checkpoint'] is {resolved['stage_checkpoint']!r}; expected best or last.")
    resolved.setdefault("ckpt_dir", f"./tmp_models/{resolved['task_name']}")
    derive(resolved, [stage.name for stage in stages_of(resolved)])
    for key, value in resolved.items():
        if key.endswith("data_loader") and isinstance(value, dict):
            value.setdefault("seed", resolved["seed"] or 0)
    return resolved


def _check_quantize(value: Any) -> None:
    """Refuse what ``quantize`` cannot be; :mod:`hatlite.engine.quantize_flag` says what it means."""
    if value is None or isinstance(value, int) or value in QUANTIZE:
        return
    hint = nearest(value, list(QUANTIZE)) if isinstance(value, str) else ""
    raise ConfigError(
        f"config['quantize'] is {value!r}; expected False or None for float, True or 'training' for qat, or"
        f" 'calibration'.{hint}",
        path="quantize",
    )


def stages_of(config: Mapping[str, Any]) -> tuple[Stage, ...]:
    """Return the stages that `config` lists, or the default ones.

    Raises:
        ConfigError: A stage has a wrong key, a name twice, or starts from a stage that does not come before it.
    """
    if "stages" not in config:
        return DEFAULT_STAGES
    stages: list[Stage] = []
    for index, entry in enumerate(config["stages"]):
        where = f"config['stages'][{index}]"
        if not isinstance(entry, Mapping):
            raise ConfigError(f"{where} is {entry!r}; expected a dict with name and kind.", path=where)
        origin = entry.get("starts_from") or ()
        try:
            stage = Stage(**{**entry, "starts_from": (origin,) if isinstance(origin, str) else tuple(origin)})
        except TypeError as cause:
            raise ConfigError(f"{where}: {cause}; a stage has name, kind, starts_from and gate.", path=where) from cause
        names = [earlier.name for earlier in stages]
        unknown = [name for name in stage.starts_from if name not in names]
        if stage.name in names or unknown:
            reason = f"starts from {unknown[0]!r}, which does not come before it" if unknown else "is there twice"
            raise ConfigError(f"{where}: stage {stage.name!r} {reason}; before it are {names}.", path=where)
        stages.append(stage)
    return tuple(stages)


def _quoted(word: str) -> str:
    """Return `word` for a shell; around quotes of Python stand those that need no others between them."""
    plain = "'" in word and not set(word) & set('"$`\\!')
    return f'"{word}"' if plain else shlex.quote(word)
