"""The pictures of a run's data as training and evaluation see them: after the transforms, with their boxes."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any

import numpy as np

from hatlite.analysis import contact_sheet, draw_ground_truth, save_picture, side_by_side
from hatlite.data.pixel_format import image_from_tensor
from hatlite.data.transforms import Normalize, QuantizePixels, ToTensor, ToYUV
from hatlite.data.worker import Failure
from hatlite.engine.data_paths import build_on_data
from hatlite.engine.evaluation import source_dataset
from hatlite.engine.parts import predictor_config
from hatlite.engine.run import Run
from hatlite.errors import ConfigError
from hatlite.files import output_folder

__all__ = ["browse_dataset"]

LOADED = "as loaded"
CELL_WIDTH = 480  # of one version on the sheet
SHEET_ROWS = 24  # a JPEG has at most 65535 rows of pixels


def browse_dataset(
    run: Run,
    stage: str,
    split: str,
    folder: str | Path,
    *,
    indices: Sequence[int] | None = None,
    count: int = 8,
    epochs: int = 1,
    seed: int | None = None,
) -> list[tuple[Path, str]]:
    """Draw pictures as they are loaded, and beside them as the network gets them in one or more epochs.

    The pixels are those of the network's own input, its Normalize and colours undone: what transforms did wrong shows.

    Args:
        run: Config.
        stage: Whose data: training and evaluation may have other data in other stages.
        split: ``train``, the data of the stage's trainer; or ``val``, that of its evaluation.
        folder: Where pictures go, made if missing.
        indices: Numbers in the data set; None for the first `count`.
        count: Largest number of pictures where `indices` names none.
        epochs: How many epochs, from 0; the chances of each are those that training has, so it sees the same.
        seed: Of the chances; None is the loader's.

    Returns:
        For each picture its file and a line that says size and objects, before and after; last,
        ``contact_sheet.jpg`` with the first of them.

    Raises:
        ConfigError: The stage has no such data, or the data set no such picture.
        StageError: There is no such stage.
        DataError: Data is missing or damaged.
    """
    loader = _loader(run, stage, split, seed)
    dataset = source_dataset(loader)
    chosen = range(min(count, len(dataset))) if indices is None else indices
    outside = [index for index in chosen if not 0 <= index < len(dataset)]
    if outside:
        raise ConfigError(f"The data set has no picture {outside[0]}; it has {len(dataset)}, counted from 0.")
    sheet, written = [], []
    with output_folder(folder) as place:
        for index in chosen:
            samples = _versions(loader.dataset, dataset, index, epochs)
            picture = side_by_side([_draw(sample, dataset.classes) for sample in samples.values()], list(samples))
            name = str(next(iter(samples.values()))["img_name"])
            path = Path(place) / f"{index:05d}_{PurePath(name).stem}.jpg"
            said = " → ".join(_describe(sample, dataset.classes) for sample in samples.values())
            written.append((save_picture(picture, path), f"{name}: {said}"))
            if len(sheet) < SHEET_ROWS:
                sheet.append([picture])
        path = save_picture(contact_sheet(sheet, (1 + epochs) * CELL_WIDTH), Path(place) / "contact_sheet.jpg")
    return [*written, (path, f"the first {len(sheet)}")]


def _loader(run: Run, stage: str, split: str, seed: int | None) -> Any:
    """Build the loader of `stage`, so that it loads in this process, and few pictures are no mistake."""
    run.stage(stage)
    own = f"{stage}_trainer" if split == "train" else f"{stage}_predictor"
    where = f"[{own!r}]['data_loader']" if split == "train" or own in run.config else "['val_data_loader']"
    config = run.config.get(own, {}) if split == "train" else predictor_config(run, stage)
    loader = config.get("data_loader")
    if not isinstance(loader, Mapping):
        trained = [one.name for one in run.stages if "data_loader" in run.config.get(f"{one.name}_trainer", {})]
        raise ConfigError(
            f"config{where} is missing, the data of the split {split!r} in stage {stage!r}; stages with data to train"
            f" on: {', '.join(trained) or 'none'}."
        )
    single = {"num_workers": 0, "batch_size": 1, "drop_last": False, **({} if seed is None else {"seed": seed})}
    return build_on_data(run, {**loader, **single}, where)


def _versions(seeded: Any, dataset: Any, index: int, epochs: int) -> dict[str, Mapping[str, Any]]:
    """Return the sample of picture `index` by what is said of it: as loaded, and after the transforms of each epoch.

    A data set of somebody's own that loads and transforms in one has nothing to show before.
    """
    found = {LOADED: dataset.load(index)} if hasattr(dataset, "load") else {}
    for epoch in range(epochs):
        sample = seeded[epoch, index]
        if isinstance(sample, Failure):
            raise sample.release()
        found[f"epoch {epoch}"] = {**sample, "img": _picture(sample["img"], _transforms(dataset, index))}
    return found


def _transforms(dataset: Any, index: int) -> list[Any]:
    """Return what picture `index` goes through in the present epoch, of inner data sets first."""
    inner = _transforms(*dataset.locate(index)) if hasattr(dataset, "locate") else []
    return [*inner, *getattr(dataset, "transforms", ())]


def _picture(img: Any, transforms: Sequence[Any]) -> np.ndarray:
    """Return (H, W, 3) uint8 RGB of what the network gets; values that other transforms moved stay moved."""
    if isinstance(img, np.ndarray):
        return img
    for one in reversed(transforms):
        if isinstance(one, Normalize):
            img = img * one.std + one.mean
        elif isinstance(one, QuantizePixels):
            img = img * one.step
    early = any(isinstance(one, ToYUV) for one in transforms)
    order = next((one.order for one in transforms if isinstance(one, ToTensor)), "RGB")
    return image_from_tensor(img, "YUV" if early else order)


def _draw(sample: Mapping[str, Any], classes: Sequence[str]) -> np.ndarray:
    return draw_ground_truth(sample["img"], sample["gt_bboxes"], sample["gt_classes"], classes)


def _describe(sample: Mapping[str, Any], classes: Sequence[str]) -> str:
    """Return height × width and the number of objects of each class."""
    height, width = sample["img"].shape[:2]
    counted = Counter(classes[label] if label >= 0 else "ignored" for label in map(int, sample["gt_classes"]))
    objects = ", ".join(f"{name} {number}" for name, number in sorted(counted.items())) or "no object"
    return f"{height}×{width} with {objects}"
