import pytest
import torch

from hatlite.engine import Calibrator, Callback, Loop, MultiBatchProcessor, Predictor, RunInfo, Trainer
from hatlite.errors import ConfigError, QuantizationError, TrainingError
from hatlite.quantization import QConfig, prepare
from hatlite.registry import OBJECT_REGISTRY

SGD = {"type": torch.optim.SGD, "lr": 0.1}


class Recorder(Callback):
    def __init__(self, name: str, said: list[str]) -> None:
        self.name = name
        self.said = said

    def __getattribute__(self, key):
        if key.startswith("on_"):
            return lambda loop: self.said.append(f"{self.name} {key[3:]} {loop.epoch} {loop.step}")
        return super().__getattribute__(key)


class StopAfter(Callback):
    def on_step_end(self, loop) -> None:
        loop.stop = loop.step == 3


@pytest.fixture
def model(tiny_config):
    return OBJECT_REGISTRY.build(tiny_config["model"])


@pytest.fixture
def data_loader(tiny_config):
    return OBJECT_REGISTRY.build(tiny_config["val_data_loader"])  # two batches of two


def test_six_moments_in_the_order_of_the_list(model, data_loader):
    said = []
    Trainer(model, data_loader, SGD, num_epochs=1, callbacks=[Recorder("a", said), Recorder("b", said)]).fit()
    assert said[:4] == ["a loop_begin 0 0", "b loop_begin 0 0", "a epoch_begin 0 0", "b epoch_begin 0 0"]
    assert [line for line in said if line.startswith("a")][3:] == [
        "a step_end 0 1",
        "a step_begin 0 1",
        "a step_end 0 2",
        "a epoch_end 1 2",
        "a loop_end 1 2",
    ]


def test_stop_leaves_after_the_step_without_an_epoch_end(model, data_loader):
    said = []
    trainer = Trainer(model, data_loader, SGD, num_epochs=9, callbacks=[StopAfter(), Recorder("a", said)])
    trainer.fit()
    assert (trainer.epoch, trainer.step, trainer.step_in_epoch) == (1, 3, 1)
    assert said[-2:] == ["a step_end 1 3", "a loop_end 1 3"]
    assert not trainer.interrupted


def test_training_lowers_the_loss(model, data_loader):
    losses = []
    watcher = Callback()
    watcher.on_step_end = lambda loop: losses.append(sum(loop.losses.values()).item())
    Trainer(model, data_loader, SGD, num_epochs=20, callbacks=[watcher]).fit()
    assert losses[-1] < 0.5 * losses[0]


def test_the_optimizer_is_built_over_the_parameters_at_the_start_of_training(model, data_loader):
    trainer = Trainer(model, data_loader, SGD)
    model.network.head = torch.nn.Conv2d(4, 2, 1)
    trainer.setup()
    assert any(p is model.network.head.weight for p in trainer.optimizer.param_groups[0]["params"])


def test_a_seed_of_its_own_seeds_the_trainer(model, data_loader):
    Trainer(model, data_loader, SGD, num_epochs=0, seed=3).fit()
    drawn = torch.rand(1)
    torch.manual_seed(3)
    assert drawn == torch.rand(1)


@pytest.mark.parametrize(("batch_size", "step"), [(1, 0), (2, 1)], ids=["batches of one", "one left over"])
def test_a_batch_norm_without_a_variance_is_named(model, tiny_config, batch_size, step):
    loader = {**tiny_config["data_loader"], "dataset": {"type": "TinyDataset", "length": 3, "size": 1}}
    trainer = Trainer(model, OBJECT_REGISTRY.build({**loader, "batch_size": batch_size}), SGD)
    said = (
        rf"^At step {step} batch norm 'bn' cannot train on a batch of one image: .* got input size .*\[1, 4, 1, 1\].*\."
        r"\n  Set batch_size in config\['float_trainer'\]\['data_loader'\] to 2 or more, and drop_last=True beside it"
    )
    with pytest.raises(TrainingError, match=said):
        trainer.fit()


def test_another_mistake_in_training_keeps_its_traceback(model, tiny_config):
    def refuse(outputs, batch):
        raise ValueError("of the losses")

    model.compute_losses = refuse
    loader = OBJECT_REGISTRY.build({**tiny_config["data_loader"], "batch_size": 1})
    with pytest.raises(ValueError, match="^of the losses$"):
        Trainer(model, loader, SGD).fit()


@pytest.mark.parametrize("missing", ["optimizer", "data_loader"])
def test_there_must_be_something_to_train_with(model, data_loader, missing):
    parts = {"data_loader": data_loader, "optimizer": SGD, missing: None}
    with pytest.raises(ConfigError, match=f"Trainer has no {missing} to train with; give it one."):
        Trainer(model, **parts)


def test_a_negative_length_is_refused(model, data_loader):
    with pytest.raises(ConfigError, match="num_epochs is -1; expected 0 or more"):
        Trainer(model, data_loader, SGD, num_epochs=-1)


@pytest.mark.parametrize(
    ("num_steps", "ends"), [(0, []), (1, [(1, 1)]), (4, [(1, 2), (2, 4)]), (5, [(1, 2), (2, 4), (3, 5)])]
)
def test_a_length_in_steps_cuts_the_last_epoch_short(model, data_loader, num_steps, ends):
    seen = []
    watcher = Callback()
    watcher.on_epoch_end = lambda loop: seen.append((loop.epoch, loop.step, loop.finished))
    trainer = Trainer(model, data_loader, SGD, stop_by="step", num_steps=num_steps, callbacks=[watcher])
    trainer.fit()
    assert seen == [(*end, end == ends[-1]) for end in ends]
    assert (trainer.step, trainer.total_steps, trainer.num_epochs) == (num_steps, num_steps, len(ends))


@pytest.mark.parametrize(
    ("length", "message"),
    [
        ({"stop_by": "day"}, "stop_by is 'day'; expected 'epoch' or 'step'"),
        ({"stop_by": "step"}, "stop_by is 'step' and num_steps is None; expected 0 or more steps"),
        ({"stop_by": "step", "num_steps": -1}, "stop_by is 'step' and num_steps is -1; expected 0 or more steps"),
        ({"num_steps": 9}, "num_steps is 9, which counts with stop_by='step' only; set that, or remove it"),
    ],
)
def test_a_contradictory_length_is_refused(model, data_loader, length, message):
    with pytest.raises(ConfigError, match=message):
        Trainer(model, data_loader, SGD, **length)


def test_a_step_takes_as_many_batches_as_its_processor_wants(tiny_config):
    seen = []
    watcher = Callback()
    watcher.on_step_end = lambda loop: seen.append((loop.step, [batch["img_id"] for batch in loop.batches]))
    loader = OBJECT_REGISTRY.build({**tiny_config["val_data_loader"], "batch_size": 1})  # four batches
    model, processor = OBJECT_REGISTRY.build(tiny_config["model"]), MultiBatchProcessor(grad_accumulation_step=3)
    trainer = Trainer(model, loader, SGD, processor, num_epochs=2, callbacks=[watcher])
    trainer.fit()
    assert seen == [(1, [[0], [1], [2]]), (2, [[3]]), (3, [[0], [1], [2]]), (4, [[3]])]
    assert (trainer.steps_per_epoch, trainer.total_steps) == (2, 4)


def test_an_empty_loader_is_refused(model):
    with pytest.raises(ConfigError, match="The data loader has no batches; the data set is empty"):
        Trainer(model, [], SGD).fit()


def test_the_base_class_has_no_step(model, data_loader):
    with pytest.raises(NotImplementedError):
        Loop(model, data_loader).fit()


def test_the_calibrator_sees_so_many_batches_fixes_the_scales_and_reports_ranges(model, data_loader, tmp_path):
    seen = []
    model.network = prepare(model.network, QConfig(), torch.zeros(1, 3, 8, 8))
    model.network.register_forward_hook(lambda graph, *_: seen.append((graph.mode, graph.training)))
    calibrator = Calibrator(model, data_loader, num_steps=1)
    calibrator.run = RunInfo("calibration", folder=tmp_path)
    calibrator.fit()
    assert seen == [("calibrate", False)]
    assert (calibrator.epoch, calibrator.step, model.network.mode) == (1, 1, "integer")
    assert "| site | type | seen | kept |" in (tmp_path / "calibration-ranges.md").read_text(encoding="utf-8")
    assert Calibrator(model, data_loader, num_steps=99).steps_per_epoch == 2


def test_calibration_needs_a_batch(model, data_loader):
    with pytest.raises(ConfigError, match="Calibrator: num_steps is 0; expected at least 1 batch"):
        Calibrator(model, data_loader, num_steps=0)
    with pytest.raises(QuantizationError, match=r"equalize: balance is 2\.0; expected 0 ≤ balance ≤ 1\."):
        Calibrator(model, data_loader, equalize=2.0)


def test_a_predictor_needs_a_metric(model, data_loader):
    with pytest.raises(ConfigError, match="Predictor has nothing to measure with; give it metrics"):
        Predictor(model, data_loader)
