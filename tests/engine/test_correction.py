"""Bias correction during calibration: its settings, its steps, and what is left of it."""

import copy
import json
import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from process_groups import in_processes

from hatlite.engine import STAGE_KINDS, Calibrator, Run, RunInfo, run_stage
from hatlite.engine.checkpoint import deployed_weights, load_checkpoint
from hatlite.engine.correction import Correcting
from hatlite.engine.validate import find_problems
from hatlite.errors import ConfigError, QuantizationError
from hatlite.quantization import FakeQuantGraph, QConfig, prepare
from hatlite.registry import OBJECT_REGISTRY


def graph_of() -> FakeQuantGraph:
    torch.manual_seed(0)
    graph = prepare(OBJECT_REGISTRY.build({"type": "TinyDetector"}).network, QConfig(), torch.zeros(1, 3, 8, 8)).eval()
    with torch.no_grad():
        graph(torch.rand(4, 3, 8, 8))
    graph.finish_calibration()
    return graph


def corrected(rank: int) -> list[Any]:
    """Correct with batches of 5, 2 and 1 images, so that of two processes one sees more, or none."""
    graph, correcting = graph_of(), Correcting(rate=0.5)
    for number, count in enumerate((5, 2, 1)):
        images = torch.rand(count, 3, 8, 8, generator=torch.Generator().manual_seed(number))
        correcting.step(graph, images, number, 3)
    return [correcting.summary(), *(value.tolist() for value in graph.state_dict().values())]


def test_processes_share_the_images_of_every_batch_and_correct_alike() -> None:
    first, second = in_processes(2, corrected)
    assert first == second == in_processes(1, corrected)[0]
    assert first[1:] != [value.tolist() for value in graph_of().state_dict().values()]


def test_a_stage_corrects_and_its_integers_are_those_of_the_program(
    tiny_config: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    tiny_config["march"] = "tidl"
    tiny_config["calibration_trainer"]["bias_correction"] = {"num_epochs": 2, "rate": 0.5}
    run = Run(tiny_config)
    run_stage(run, "float")
    with caplog.at_level(logging.INFO, logger="hatlite"):
        row = run_stage(run, "calibration")
    told = [message for message in caplog.messages if message.startswith("Bias correction, epoch ")]
    assert [message.partition(":")[0] for message in told] == [f"Bias correction, epoch {n} of 2" for n in (1, 2)]
    off = [float(message.split(" steps in the first")[0].rpartition(" ")[2]) for message in told]
    assert 0 < off[1] < off[0]
    report = (run.folder / "calibration-ranges.md").read_text(encoding="utf-8")
    assert "Biases were corrected in 6 steps (rate 0.5, decay 0.5, epochs 2): the mean of a channel was off" in report
    assert row["epoch"] == 1, "one epoch, one validation"
    before, after = (deployed_weights(load_checkpoint(run.checkpoint(name))) for name in ("float", "calibration"))
    assert not torch.equal(before["network.head.bias"], after["network.head.bias"])
    run_stage(run, "int_infer")
    assert json.loads((run.folder / "alignment.json").read_text())["passed"] is True


def test_no_labels_are_needed(tiny_config: dict[str, Any], tmp_path: Path) -> None:
    loader = OBJECT_REGISTRY.build(tiny_config["val_data_loader"])
    images = [{"img": batch["img"]} for batch in loader]
    model = OBJECT_REGISTRY.build(tiny_config["model"])
    model.network = prepare(model.network, QConfig(), torch.zeros(1, 3, 8, 8))

    class Unlabelled:
        batch_sampler = copy.copy(loader.batch_sampler)
        dataset = ()

        def __len__(self) -> int:
            return len(images)

        def __iter__(self) -> Any:
            return iter(images)

    calibrator = Calibrator(model, Unlabelled(), bias_correction={})
    calibrator.run = RunInfo("calibration", folder=tmp_path)
    assert (calibrator.steps_per_epoch, calibrator.total_steps) == (4, 4), "two batches to observe, two to correct"
    before = model.network.head.bias.clone()
    calibrator.fit()
    assert calibrator.step == 4 and not torch.equal(model.network.head.bias, before)


def test_mistakes_are_answered() -> None:
    with pytest.raises(ConfigError, match=r"Calibrator\['bias_correction'\] has no key 'epochs'; it takes rate, decay"):
        Correcting.of({"epochs": 1})
    with pytest.raises(ConfigError, match=r"Calibrator\['bias_correction'\]\['rate'\] is 'fast'; expected a number"):
        Correcting.of({"rate": "fast"})
    with pytest.raises(ConfigError, match=r"\['num_epochs'\] is 0; expected at least 1 epoch, or leave bias_corr"):
        Correcting.of({"num_epochs": 0})
    with pytest.raises(QuantizationError, match="BiasCorrection: rate is 5; expected 0 ≤ rate ≤ 1"):
        Correcting.of({"rate": 5})


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"rat": 1}, "Calibrator['bias_correction'] has no key 'rat'; it takes rate, decay, num_epochs.\n  Did you"),
        ({"rate": 5.0}, "BiasCorrection: rate is 5"),
    ],
    ids=str,
)
def test_mistakes_are_told_with_those_of_the_config(
    tiny_config: dict[str, Any], settings: dict[str, Any], said: str
) -> None:
    tiny_config["calibration_trainer"]["bias_correction"] = settings
    (problem,) = find_problems(Run(tiny_config), STAGE_KINDS)
    assert str(problem).startswith(f"config['calibration_trainer']: {said}")
