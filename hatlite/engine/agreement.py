"""What a config, its data and its model must agree on, compared before any work: classes and the size of images."""

from typing import Any

import torch

from hatlite import class_names
from hatlite.data.worker import Failure
from hatlite.engine.evaluation import source_dataset
from hatlite.engine.run import Run
from hatlite.errors import ConfigError, DataError

__all__ = ["check_classes", "check_deploy_inputs", "check_first_image", "check_model", "check_size"]

ONE_LIST = "A label is a place in this list, and nothing is mapped by name: give both the same names in the same order."


def check_classes(run: Run, data_loader: Any) -> None:
    """Take the class names of a loader's data set into `run`; all data sets of a run must agree with the config.

    Raises:
        ConfigError: The names are not those of ``config['classes']`` or of an earlier loader, or their number is not
            ``num_classes``.
    """
    dataset = source_dataset(data_loader)
    classes, kind = tuple(getattr(dataset, "classes", ())), type(dataset).__name__
    expected = run.config.get("num_classes")
    if not classes:
        return
    if run.declared_classes and (
        differs := class_names.difference(run.declared_classes, classes, "config['classes']", kind)
    ):
        raise ConfigError(
            f"config['classes'] and the data disagree: {differs}. {ONE_LIST}"
            f"{class_names.meant([name for name in run.declared_classes if name not in classes], classes)}"
        )
    if expected is not None and len(classes) != expected:
        raise ConfigError(
            f"config['num_classes'] is {expected}, but {kind} has {len(classes)} classes:"
            f" {', '.join(classes)}. Give the data set those that you mean as its classes, or set"
            f" num_classes={len(classes)}.{class_names.in_case_only(classes, classes)}"
        )
    if run.classes and (differs := class_names.difference(run.classes, classes, "one", "another")):
        raise ConfigError(f"The data sets of one run have different classes: {differs}. {ONE_LIST}")
    run.classes = classes


def check_model(run: Run, model: Any) -> None:
    """Refuse a detector that was built for another number of classes than ``num_classes``.

    Raises:
        ConfigError: The numbers differ.
    """
    own, expected = getattr(model, "num_classes", None), run.config.get("num_classes")
    if own is not None and expected is not None and own != expected:
        raise ConfigError(
            f"config['num_classes'] is {expected}, but config['model'] is built for {own} classes;"
            f" set num_classes={expected} in the parts of the model too."
        )


def check_size(model: Any, img: torch.Tensor | torch.Size, where: str) -> None:
    """Refuse images of a size that `model` does not take; one that has no ``check_size`` says so itself.

    Args:
        model: A detector.
        img: (…, H, W), or its shape.
        where: Whose image it is, for the message.

    Raises:
        ConfigError: `model` does not take it.
    """
    check = getattr(model, "check_size", None)
    if check is None:
        return
    try:
        check(*(img.shape if isinstance(img, torch.Tensor) else img)[-2:])
    except DataError as problem:
        raise ConfigError(f"{where}: {problem}") from problem


def check_deploy_inputs(run: Run, model: Any) -> None:
    """Refuse ``deploy_inputs`` of a size that `model` does not take.

    Raises:
        ConfigError: It does not.
    """
    if "deploy_inputs" in run.config:
        check_size(model, run.config["deploy_inputs"]["img"], "config['deploy_inputs']")


def check_first_image(model: Any, data_loader: Any, where: str) -> None:
    """Refuse a loader whose images `model` does not take: the first one, behind its transforms, speaks for all.

    Else the loader of validation would be found wrong when an epoch has been trained.

    Args:
        model: A detector.
        data_loader: Of the config.
        where: Its place in the config, for the message.

    Raises:
        ConfigError: `model` does not take it.
        DataError: The image is unusable.
    """
    if not hasattr(model, "check_size"):
        return
    sample = data_loader.dataset[0, 0]
    if isinstance(sample, Failure):
        raise sample.release()
    check_size(model, sample["img"], f"{where}, image {sample.get('img_name', 'number 0')} behind its transforms")
