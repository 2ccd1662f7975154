"""Which pictures are inferred, what is done to them first and how they are drawn: ``infer_cfg`` and the command line.

::

    infer_cfg = dict(
        infer_inputs=dict(img="cells.jpg"),                       # pictures, where --model-inputs names none
        gen_inputs_cfg=dict(dataset=dict(type=…), sample_idx=0),  # or pictures of a data set: --use-dataset
        transforms=[dict(type="Resize", …), …],                   # instead of those of the validation data
        viz_func=dict(type="DetViz", score_threshold=0.5),
        model=dict(type=…),                                       # instead of config['model']
    )

All of it may be left out.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from hatlite.analysis import DetViz, parse_inputs
from hatlite.engine.data_paths import build_on_data
from hatlite.engine.run import Run
from hatlite.engine.sections import Declined, section
from hatlite.errors import ConfigError
from hatlite.registry import OBJECT_REGISTRY

__all__ = [
    "INFER_KEYS",
    "chosen_pictures",
    "infer_model",
    "infer_transforms",
    "transforms_of",
    "validation_transforms",
    "visualizer",
]

INFER_KEYS: dict[str, Any] = {
    "model": dict,
    "infer_inputs": dict,
    "gen_inputs_cfg": dict,
    "transforms": list,
    "viz_func": dict,
    "input_path": Declined("write infer_inputs=dict(img=PATH), or give --model-inputs img:PATH."),
    "process_inputs": Declined("pictures go through transforms, by default those of validation; write transforms."),
    "process_outputs": Declined("viz_func draws what is detected; write it, or a class of your own on DetViz."),
}
_GENERATED: dict[str, Any] = {"dataset": dict, "sample_idx": int | list}


def chosen_pictures(run: Run, text: str | None, indices: Sequence[int] | None) -> list[Path | Mapping[str, Any]]:
    """Return the pictures to look at: files, or samples of a data set.

    Args:
        run: Its ``infer_cfg`` counts where the command line leaves the choice.
        text: Such as ``"img:a.jpg,img:b.jpg"``; None if there is none.
        indices: Of the data set's pictures; empty for those of ``sample_idx``, else the first; None for no data set.

    Raises:
        ConfigError: Nothing or too much was chosen, or an index lies outside the data set.
        DataError: The data set cannot be read.
    """
    given = _settings(run)
    if text is not None and indices is not None:
        raise ConfigError("--model-inputs and --use-dataset contradict one another; leave one out.")
    if text is not None:
        return list(parse_inputs(text))
    if indices is None and given.get("infer_inputs"):
        return list(map(Path, given["infer_inputs"].values()))
    if indices is None and "gen_inputs_cfg" not in given:
        raise ConfigError("There is no picture to look at; give --model-inputs img:PATH, or --use-dataset INDEX.")
    return _samples(run, indices or ())


def _samples(run: Run, indices: Sequence[int]) -> list[Path | Mapping[str, Any]]:
    generated = section(_settings(run), "gen_inputs_cfg", _GENERATED, "config['infer_cfg']")
    place, config = "['infer_cfg']['gen_inputs_cfg']['dataset']", generated.get("dataset")
    if config is None:
        place, config = "['val_data_loader']['dataset']", run.config.get("val_data_loader", {}).get("dataset")
    if config is None:
        raise ConfigError(f"config{place} is missing, from which --use-dataset takes pictures.")
    dataset = build_on_data(run, config, place)
    chosen = generated.get("sample_idx", 0)
    indices = indices or ([chosen] if isinstance(chosen, int) else list(chosen))
    if not indices:
        raise ConfigError(
            "config['infer_cfg']['gen_inputs_cfg']['sample_idx'] is empty; name a picture, counted from 0."
        )
    outside = [index for index in indices if not 0 <= index < len(dataset)]
    if outside:
        raise ConfigError(f"The data set has no picture {outside[0]}; it has {len(dataset)}, counted from 0.")
    return [dataset.load(index) for index in indices]


def visualizer(run: Run, score_threshold: float | None = None) -> DetViz:
    """Return what draws; `score_threshold` counts before that of the config.

    Raises:
        ConfigError: ``infer_cfg['viz_func']`` cannot be built or draws no detections.
    """
    parts = {} if score_threshold is None else {"score_threshold": score_threshold}
    where = "['infer_cfg']['viz_func']"
    viz = OBJECT_REGISTRY.build(_settings(run).get("viz_func", {"type": "DetViz"}), path=where, **parts)
    if not isinstance(viz, DetViz):
        raise ConfigError(f"config{where} is a {type(viz).__name__}; expected DetViz, or a class of your own on it.")
    return viz


def infer_model(run: Run) -> Any:
    """Return the detector before its stage is restored: of ``infer_cfg`` where it has one, else of the config."""
    given = _settings(run)
    if "model" in given:
        return OBJECT_REGISTRY.build(given["model"], path="['infer_cfg']['model']")
    return OBJECT_REGISTRY.build(run.config["model"], path="['model']")


def infer_transforms(run: Run) -> list[Any]:
    """Build the transforms of ``infer_cfg``, else those of the config's validation data, without the data.

    Raises:
        ConfigError: The config has neither.
    """
    given = _settings(run)
    own = _built(_transform_configs(given, "['infer_cfg']")) if "transforms" in given else validation_transforms(run)
    if not own:
        raise ConfigError(
            "config['val_data_loader'] has no data set with transforms, which pictures need before the network."
        )
    return own


def validation_transforms(run: Run) -> list[Any]:
    """Build the transforms of the config's validation data, without the data; none where it has none."""
    return transforms_of(run.config)


def transforms_of(config: Mapping[str, Any]) -> list[Any]:
    """Build the same of a resolved config, also of one that was read from JSON."""
    return _built(_transform_configs(config.get("val_data_loader"), "['val_data_loader']"))


def _built(configs: Iterable[tuple[str, Any]]) -> list[Any]:
    return [OBJECT_REGISTRY.build(config, path=path) for path, config in configs]


def _transform_configs(config: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Yield path and config of every transform below a loader or data set: those of inner data sets first.

    Of several data sets that are joined, the first counts.
    """
    if not isinstance(config, Mapping):
        return
    yield from _transform_configs(config.get("dataset"), f"{path}['dataset']")
    joined = config.get("datasets") or [None]
    yield from _transform_configs(joined[0], f"{path}['datasets'][0]")
    for index, transform in enumerate(config.get("transforms") or ()):
        yield f"{path}['transforms'][{index}]", transform


def _settings(run: Run) -> Mapping[str, Any]:
    return section(run.config, "infer_cfg", INFER_KEYS)
