"""What a run's config describes, built: loops, predictors, fake-quant networks."""

from collections.abc import Sequence
from typing import Any

import torch

from hatlite.engine.agreement import check_classes, check_deploy_inputs, check_first_image, check_model, check_size
from hatlite.engine.data_paths import build_on_data
from hatlite.engine.derive import predictor_of
from hatlite.engine.loop import Loop
from hatlite.engine.predictor import Predictor
from hatlite.engine.qconfig_params import QAT_MODES, run_qat_mode, with_params
from hatlite.engine.run import Run, Stage
from hatlite.errors import ConfigError, StageError
from hatlite.nn import Quantizable, QuantStub
from hatlite.quantization import FusedNorm, QConfig, edit_gains, fuse_batch_norms, prepare_qat
from hatlite.registry import OBJECT_REGISTRY

__all__ = [
    "build_deployed",
    "build_loop",
    "build_model",
    "build_predictor",
    "model_config",
    "qconfig_of",
    "quantize",
    "quantize_random",
    "random_image",
]


def build_deployed(run: Run) -> tuple[str, Any]:
    """Build ``config['deploy_model']``, else ``config['model']``, with the weights of seed 0; return its key and it.

    Raises:
        ConfigError: The config sets no model.
    """
    key = "deploy_model" if "deploy_model" in run.config and "deploy_model" not in run.derived else "model"
    if key not in run.config:
        raise ConfigError(f"{run.source} sets no model; name the detector's dict `model`.", path="config['model']")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return key, OBJECT_REGISTRY.build(run.config[key], path=f"[{key!r}]")


def qconfig_of(run: Run) -> QConfig:
    """Return what the config quantises how: its ``qconfig``, and the ``qat_mode`` of its pipelines.

    Raises:
        ConfigError: They contradict one another.
    """
    given = run.config.get("qconfig", {"type": "QConfig"})
    march = run.config["march"]
    if given.get("march", march) != march:
        raise ConfigError(
            f"config['qconfig']['march'] is {given['march']!r} and config['march'] is {march!r}; leave it out of the"
            " qconfig, which takes the config's."
        )
    qconfig = OBJECT_REGISTRY.build(given, path="['qconfig']", march=march)
    mode = run_qat_mode(run.config)
    if mode is not None and given.get("bn", QAT_MODES[mode]) != QAT_MODES[mode]:
        raise ConfigError(
            f"config['qconfig']['bn'] is {given['bn']!r} and a model_convert_pipeline has qat_mode={mode!r}, which is"
            f" bn={QAT_MODES[mode]!r}; leave one of them out."
        )
    return with_params(qconfig, mode, {})


def quantize(run: Run, model: Any, qconfig: QConfig | None = None) -> tuple[FusedNorm, ...]:
    """Replace ``model.network`` by its fake-quant graph, in calibrate mode; `qconfig` None is the config's.

    A detector of somebody's own needs no methods for that: the request is recorded on any module. Where values have no
    scales of their own, batch norms become part of the layers before them for good; those are returned.
    """
    qconfig = qconfig or qconfig_of(run)
    norms = fuse_batch_norms(model.network) if qconfig.arithmetic.unit_scales else ()
    Quantizable.fuse_model(model)
    Quantizable.set_qconfig(model, qconfig)
    prepare_qat(model, deploy_inputs=example_image(run, model))
    return norms


def give_inputs(run: Run, model: Any) -> Any:
    """Hand the config's ``deploy_inputs`` to `model`, which the caller may want to prepare; return it."""
    if "deploy_inputs" in run.config:
        model.deploy_inputs = run.config["deploy_inputs"]
    return model


def quantize_random(run: Run, model: Any) -> None:
    """Quantise a detector whose weights are random, calibrated on one random image: right in shape, of no accuracy."""
    quantize(run, model)
    model.eval()
    model.network.calibrate_mode()
    with torch.no_grad():
        model.network(random_image(model.network, example_image(run, model).shape))
    model.network.finish_calibration()
    if model.network.simulation is not None:
        edit_gains(model.network)


def random_image(network: torch.nn.Module, shape: Sequence[int]) -> torch.Tensor:
    """Return an image (N, C, H, W) of integers that the QuantStub of `network` takes, the same for every call."""
    stub = next((one for one in network.modules() if isinstance(one, QuantStub)), QuantStub(1 / 128))
    least, greatest = stub.levels
    drawn = torch.randint(least, greatest + 1, tuple(shape), generator=torch.Generator().manual_seed(0))
    return drawn * (1 / 128 if stub.scale is None else stub.scale)


def model_config(run: Run, stage: Stage) -> dict[str, Any]:
    """Return the model that the trainer of `stage` names, else the config's.

    ``deploy_model`` is the same network, but may ask for other types of its outputs, so the trained one counts.
    """
    own = run.config.get(f"{stage.name}_trainer", {}).get("model")
    return run.config["model"] if own is None or own is run.config.get("deploy_model") else own


def build_model(run: Run, stage: Stage | None = None) -> Any:
    """Build the detector of `stage`, or of the whole run."""
    config = run.config["model"] if stage is None else model_config(run, stage)
    return give_inputs(run, OBJECT_REGISTRY.build(config, path="['model']"))


def example_image(run: Run, model: Any) -> torch.Tensor:
    """Return one image of the size that `model` works on, (1, 3, H, W) float32.

    It is the config's ``deploy_inputs``; zeros, if `model` takes one size alone; else the first image of validation.

    Raises:
        ConfigError: The config has neither, or `model` does not take images of this size.
    """
    check_deploy_inputs(run, model)
    if "deploy_inputs" in run.config:
        return run.config["deploy_inputs"]["img"]
    size = getattr(model, "input_size", None)
    if size is not None:
        return torch.zeros(1, 3, *size)
    if "val_data_loader" not in run.config:
        raise ConfigError(
            "The config has neither deploy_inputs nor val_data_loader, so the size of the image is unknown; set"
            " deploy_inputs=dict(img=torch.zeros(1, 3, 512, 512)), or what it is."
        )
    loader = build_on_data(run, {**run.config["val_data_loader"], "num_workers": 0}, "['val_data_loader']")
    img = next(iter(loader))["img"][:1]
    check_size(model, img, "config['val_data_loader']")
    return img


def build_loop(run: Run, stage: Stage) -> Loop:
    """Build ``<stage>_trainer`` with the run's device, and check its data against the config."""
    key = f"{stage.name}_trainer"
    if key not in run.config:
        raise StageError(f"config[{key!r}] is missing, which stage {stage.name!r} needs.")
    parts = {} if run.device is None else {"device": run.device}
    loop = build_on_data(run, run.config[key], f"[{key!r}]", **parts)
    check_model(run, give_inputs(run, loop.model))
    own = [(f"config[{key!r}]: the data_loader", loop.data_loader)]
    for callback in loop.callbacks:
        if hasattr(callback, "data_loader"):
            own.append((f"config[{key!r}]: the data_loader of its {type(callback).__name__}", callback.data_loader))
    for where, loader in own:
        check_classes(run, loader)
        check_first_image(loop.model, loader, where)
    loop.run = run.info(stage.name)
    return loop


def build_predictor(run: Run, name: str) -> Predictor:
    """Build ``<stage>_predictor``, or the one that the config implies, with the run's device."""
    parts = {} if run.device is None else {"device": run.device}
    predictor = build_on_data(run, predictor_config(run, name), f"['{name}_predictor']", **parts)
    check_model(run, give_inputs(run, predictor.model))
    check_classes(run, predictor.data_loader)
    check_first_image(predictor.model, predictor.data_loader, f"The data_loader of config['{name}_predictor']")
    return predictor


def predictor_config(run: Run, name: str) -> dict[str, Any]:
    """Return the config's predictor of stage `name`, or one made of its model, validation data and metrics."""
    given = run.config.get(f"{name}_predictor")
    return given or predictor_of(run.config, [stage.name for stage in run.stages], name)
