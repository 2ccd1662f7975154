"""Everything that can be wrong in a config and is cheap to see, found before the first batch and told at once."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from hatlite import class_names
from hatlite.engine.agreement import check_deploy_inputs
from hatlite.engine.callbacks import Checkpoint
from hatlite.engine.data_paths import missing_paths
from hatlite.engine.kinds import STAGE_KINDS, pipeline_of
from hatlite.engine.parts import model_config, qconfig_of
from hatlite.engine.run import Run, Stage
from hatlite.engine.vocabulary import name_problems, section_names
from hatlite.errors import CaptureError, ConfigError, HatliteError, MarchError, StageError
from hatlite.log import get_logger
from hatlite.march import get_march
from hatlite.quantization import check_rules
from hatlite.registry import OBJECT_REGISTRY, nearest

__all__ = ["find_problems", "load_run", "validate"]

logger = get_logger(__name__)


def load_run(
    source: str,
    opts: Sequence[str] = (),
    device: str | None = None,
    flags: Sequence[str] = (),
    *,
    stage: str | None = None,
) -> Run:
    """Return the run of a config for a tool that trains nothing; arguments as for :meth:`Run.load`.

    What the config says must be right, in all its parts; what it does not say, the tool asks for where it needs it.

    Raises:
        ConfigError: The config or an override cannot be used, or all problems together.
    """
    run = Run.load(source, opts, device, flags, stage=stage)
    problems = _found(run, STAGE_KINDS)
    if problems:
        raise ConfigError.together(problems, f"the config {run.source}")
    return run


def validate(run: Run, kinds: Collection[str], *, data: bool = True, stage: Stage | None = None) -> None:
    """Raise all problems of all stages together.

    Args:
        run: What is to be checked.
        kinds: Stage kinds there are.
        data: The data must be at hand.
        stage: What is about to train: it must leave its checkpoint where the run looks for it. That of other stages is
            their own matter, for a config may name files after the stage that runs (``HAT_TRAINING_STEP``).

    Raises:
        ConfigError: Or the one error, when there is only one.
    """
    problems = find_problems(run, kinds)
    if stage is not None and not problems:
        problems += _checkpoint_problems(run, stage)
        problems += _network_problems(run, stage)
    problems += missing_paths(run.config) if data else ()
    if problems:
        raise ConfigError.together(problems, f"the config {run.source}")


def find_problems(run: Run, kinds: Collection[str]) -> list[HatliteError]:
    """Return what is wrong with the config itself, the same on every machine; arguments as for :func:`validate`."""
    needed = ("model", "data_loader", "val_data_loader", "num_classes")
    missing = [ConfigError(f"config[{key!r}] is missing.", path=key) for key in needed if key not in run.config]
    return [*missing, *_found(run, kinds, built=not missing)]


def _found(run: Run, kinds: Collection[str], built: bool = True) -> list[HatliteError]:
    """Return what is wrong with the entries that there are; only if they are right, and `built`, it builds some."""
    problems = [*_entry_problems(run), *name_problems(run), *_stage_problems(run, kinds), *_type_problems(run)]
    return problems if problems or not built else [*_qconfig_problems(run), *_pipeline_problems(run)]


def _entry_problems(run: Run) -> list[HatliteError]:
    problems: list[HatliteError] = []
    classes = run.config.get("num_classes", 1)
    if not isinstance(classes, int) or isinstance(classes, bool) or classes < 1:
        problems.append(ConfigError(f"config['num_classes'] is {classes!r}; expected a whole number from 1 up."))
    else:
        problems += _class_problems(run)
    try:
        get_march(run.config["march"])
    except MarchError as problem:
        problem.locate("config['march']")
        problems.append(problem)
    return problems


def _class_problems(run: Run) -> Iterator[HatliteError]:
    """Yield what contradicts ``num_classes``: the list of names, and the head."""
    names, expected = run.declared_classes, run.config.get("num_classes")
    if twice := class_names.repeated(names):
        yield ConfigError(f"config['classes'] has {class_names.shown(twice)} twice; give each class a name of its own.")
    if names and expected not in (None, len(names)):
        yield ConfigError(
            f"config['num_classes'] is {expected}, and config['classes'] has {len(names)} names; write"
            " num_classes = len(classes). Background is no class here."
        )
    model = run.config.get("model")
    head = model.get("head") if isinstance(model, Mapping) else None
    own = head.get("num_classes") if isinstance(head, Mapping) else None
    if isinstance(own, int) and expected not in (None, own):
        yield ConfigError(
            f"config['num_classes'] is {expected}, and config['model']['head']['num_classes'] is {own}; write"
            " num_classes=num_classes there."
        )


def _stage_problems(run: Run, kinds: Collection[str]) -> list[HatliteError]:
    problems: list[HatliteError] = []
    for stage in run.stages:
        if stage.kind not in kinds:
            known = f"{', '.join(kinds)}.{nearest(stage.kind, list(kinds))}"
            problems.append(
                ConfigError(f"config['stages']: {stage.name!r} is of kind {stage.kind!r}; there are {known}")
            )
    names = [stage.name for stage in run.stages]
    for gate in set(run.config.get("gates", {})) - set(names):
        problems.append(
            StageError(f"config['gates'] names {gate!r}, which is no stage; stages are {', '.join(names)}.")
        )
    return problems


def _type_problems(run: Run) -> list[HatliteError]:
    problems: list[HatliteError] = []
    seen: set[int] = set()
    for key in section_names([stage.name for stage in run.stages]):
        if key in run.config and not isinstance(run.config[key], Mapping):
            problems.append(ConfigError(f"config[{key!r}] is {run.config[key]!r}; expected a dict with a type."))
        elif key in run.derived:
            _unseen(run.config[key], seen, root=True)  # what is wrong with it is wrong where it comes from
        elif key in run.config:
            problems += OBJECT_REGISTRY.check(_unseen(run.config[key], seen, root=True), f"[{key!r}]")
    return problems


def _qconfig_problems(run: Run) -> list[HatliteError]:
    """Hold what the qconfig says of some layers against the network, which is built for that."""
    try:
        qconfig = qconfig_of(run)
        if (qconfig.rules or qconfig.first_and_last) and "model" in run.config:
            check_rules(OBJECT_REGISTRY.build(run.config["model"], path="['model']").network, qconfig)
    except HatliteError as problem:
        return [problem]
    return []


def _pipeline_problems(run: Run) -> list[HatliteError]:
    """Build the pipelines of all stages, which costs nothing, so that a wrong order is told with all the rest."""
    problems: list[HatliteError] = []
    deployed = "deploy_model_convert_pipeline"
    builds: list[Callable[[], Any]] = [lambda: OBJECT_REGISTRY.build(run.config.get(deployed), path=f"[{deployed!r}]")]
    for stage in run.stages:
        builds += [partial(pipeline_of, run, stage, entry) for entry in ("trainer", "predictor")]
    for build in builds:
        try:
            build()
        except HatliteError as problem:
            if str(problem) not in map(str, problems):
                problems.append(problem)
    return problems


def _network_problems(run: Run, stage: Stage) -> Iterator[HatliteError]:
    """Yield why `stage`, or one behind it, will not quantise the network: its operators, the size of ``deploy_inputs``.

    A stage that trains in float may go on with such operators; the log says who will refuse them.
    """
    later = run.stages[run.stages.index(stage) + 1 :]
    behind = [one for one in later if f"{one.name}_trainer" in run.config]
    quantising = [one for one in (stage, *behind) if pipeline_of(run, one, "trainer").leaves() != "float"]
    if not quantising:
        return
    first = quantising[0]
    model = OBJECT_REGISTRY.build(model_config(run, first), path="['model']")
    try:
        check_deploy_inputs(run, model)
        check_rules(model.network, qconfig_of(run))
    except CaptureError as problem:
        if first == stage:
            yield problem
        else:
            said = "Stage %r will refuse the network that is about to be trained: %s\n  %s"
            logger.warning(said, first.name, problem, run.ask_checker)
    except ConfigError as problem:
        yield problem


def _checkpoint_problems(run: Run, stage: Stage) -> Iterator[HatliteError]:
    """Yield an error where the trainer of `stage` writes checkpoints, none of which is the one that the run looks for.

    Further ones may go elsewhere. A stage that leaves a program writes none.
    """
    if STAGE_KINDS[stage.kind].leaves_program:
        return
    wanted, written = run.checkpoint(stage.name), []
    for index, config in enumerate(run.config.get(f"{stage.name}_trainer", {}).get("callbacks") or ()):
        where = f"['{stage.name}_trainer']['callbacks'][{index}]"
        if not _is_checkpoint(config):
            continue
        try:
            callback = OBJECT_REGISTRY.build(config, path=where)
        except HatliteError as problem:
            yield problem
            return
        written.append((where, callback.path_in(run.folder, stage.name, run.config["stage_checkpoint"])))
    if written and wanted.resolve() not in [path.resolve() for _, path in written]:
        where, path = written[0]
        yield ConfigError(
            f"config{where}: Checkpoint writes {path}, and what follows stage {stage.name!r} reads {wanted}; leave"
            f" save_dir and name_prefix out, or write save_dir=ckpt_dir and name_prefix={stage.name + '-'!r}. One that"
            " keeps files elsewhere may stand beside it.",
            path=f"config{where}",
        )


def _is_checkpoint(config: Any) -> bool:
    kind = OBJECT_REGISTRY.get(config["type"]) if isinstance(config, Mapping) and "type" in config else None
    return isinstance(kind, type) and issubclass(kind, Checkpoint)


def _unseen(value: Any, seen: set[int], root: bool = False) -> Any:
    """Return `value` with dicts that were checked elsewhere left out, so that each problem is told once."""
    if isinstance(value, (list, tuple)):
        return [_unseen(item, seen) for item in value]
    if not isinstance(value, Mapping):
        return value
    if id(value) in seen and not root:
        return ...  # not None, which is a value
    seen.add(id(value))
    return {key: _unseen(item, seen) for key, item in value.items()}
