"""Calibration in two processes gives the scales and biases of one, to the bit."""

import dataclasses
import os
import pickle
import socket
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from process_groups import in_processes
from torch import nn

from hatlite.data import build_data_loader
from hatlite.data.loader import share_batches
from hatlite.engine import STAGE_KINDS, Calibrator, Run, run_stage
from hatlite.engine import calibrator as calibrator_module
from hatlite.engine import processes as processes_module
from hatlite.engine import stages as stages_module
from hatlite.engine.checkpoint import deployed_weights, load_checkpoint
from hatlite.engine.processes import (
    any_process,
    average_gradients,
    copy_state,
    copy_statistics,
    first_says,
    in_turn,
    join_processes,
    mean_losses,
    merge_observers,
    process,
)
from hatlite.errors import ConfigError, DataError, QuantizationError, StageError
from hatlite.quantization import QConfig, prepare
from hatlite.registry import OBJECT_REGISTRY

ENGINE_TESTS = Path(__file__).parent

# One process of several: the whole stage, as tools/train.py runs it under torchrun.
PROGRAM = """
import pickle, sys
import torch
import conftest
from hatlite.command import run_tool
from hatlite.engine import Run, run_stage
torch.set_num_threads(1)
with open(sys.argv[1], "rb") as file:
    config = pickle.load(file)
sys.exit(run_tool(lambda: run_stage(Run(config), sys.argv[2]) and None))
"""


def launch(config: dict[str, Any], stage: str, count: int) -> list[subprocess.CompletedProcess[str]]:
    """Start `count` processes as torchrun does, and wait for them."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    saved = Path(config["ckpt_dir"]).parent / "config.pickle"
    saved.write_bytes(pickle.dumps(config))
    command = [sys.executable, "-c", PROGRAM, str(saved), stage]
    path = os.pathsep.join(
        [str(ENGINE_TESTS), str(ENGINE_TESTS.parent), str(ENGINE_TESTS.parents[1]), os.environ.get("PYTHONPATH", "")]
    )
    env = {**os.environ, "PYTHONPATH": path, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    env |= {"WORLD_SIZE": str(count), "OMP_NUM_THREADS": "1"}
    running = [
        subprocess.Popen(
            command, env={**env, "RANK": str(rank)}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for rank in range(count)
    ]
    said = [one.communicate(timeout=300) for one in running]
    return [
        subprocess.CompletedProcess(one.args, one.returncode, *text) for one, text in zip(running, said, strict=True)
    ]


@pytest.mark.parametrize(
    ("observer", "correction", "march"),
    [("min_max", None, "bayes-sim"), ("mix", {"num_epochs": 2}, "tidl")],
)
def test_two_processes_find_the_scales_and_biases_of_one(tiny_config, observer, correction, march):
    tiny_config["qconfig"] = {"type": "QConfig", "activation": {"observer": observer}}
    tiny_config["march"] = march
    tiny_config["calibration_trainer"]["bias_correction"] = correction
    run = Run(tiny_config)
    run_stage(run, "float")
    weights = deployed_weights(load_checkpoint(run.checkpoint("float")))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        run_stage(run, "calibration")
    finally:
        torch.set_num_threads(threads)
    alone = load_checkpoint(run.checkpoint("calibration"))
    ranges = (run.folder / "calibration-ranges.md").read_text(encoding="utf-8")
    run.checkpoint("calibration").unlink()
    (run.folder / "calibration-ranges.md").unlink()

    first, second = launch(tiny_config, "calibration", 2)
    assert (first.returncode, second.returncode) == (0, 0), first.stderr + second.stderr
    together = load_checkpoint(run.checkpoint("calibration"))
    scales = [name for name in alone["state_dict"] if name.endswith("scale")]
    assert len(scales) >= 4
    assert all(torch.equal(alone["state_dict"][key], together["state_dict"][key]) for key in alone["state_dict"])
    assert torch.equal(weights["network.head.bias"], alone["state_dict"]["network.head.bias"]) == (correction is None)
    assert alone["metrics"]["mAP"] == together["metrics"]["mAP"]
    assert (run.folder / "calibration-ranges.md").read_text(encoding="utf-8") == ranges
    assert "| calibration |" in first.stdout and not second.stdout, "the first process alone reports"


def test_a_kind_that_is_not_shared_refuses_company(tiny_config, monkeypatch):
    monkeypatch.setattr(stages_module, "join_processes", lambda device: nullcontext((1, 2)))
    alone = dataclasses.replace(STAGE_KINDS["float"], shared=False)
    monkeypatch.setitem(STAGE_KINDS, "float", alone)
    with pytest.raises(
        StageError, match="Stage 'float' is of kind 'float', which runs in one process, and 2 were"
    ) as told:
        run_stage(Run(tiny_config), "float")
    said = (
        "start it without torchrun and --device-ids. Kinds that several processes share: calibration,"
        " calibration_weights, qat_weights, qat_activations, qat, int_infer."
    )
    assert str(told.value).endswith(said)


def gradients(rank: int) -> list[Any]:
    model = nn.ParameterDict({name: nn.Parameter(torch.ones(2)) for name in ("both", "first", "none", "frozen")})
    model["frozen"].requires_grad_(False)
    model["both"].grad = torch.tensor([1.0, 2.0]) * (rank + 1)
    if rank == 0:
        model["first"].grad = torch.tensor([4.0, 8.0])
    average_gradients(model)
    return [None if p.grad is None else p.grad.tolist() for p in model.values()]


def test_gradients_by_hand():
    averaged = [[1.5, 3.0], [2.0, 4.0], None, None]
    assert in_processes(2, gradients) == [averaged, averaged]


def talk(rank: int) -> dict[str, Any]:
    model = nn.BatchNorm2d(2)
    nn.init.constant_(model.weight, rank)
    model.running_mean.fill_(rank)
    copy_statistics(model)
    weight = model.weight.tolist()
    copy_state(model)
    losses = mean_losses({"cls": torch.tensor(1.0 + rank), "reg": torch.tensor(5.0)})
    return {
        "any": any_process(rank == 1, False),
        "first": first_says({"rank": rank}),
        "in turn": list(in_turn(iter(range(rank, 5, 2)), 5)),
        "statistics": model.running_mean.tolist(),
        "weights": (weight, model.weight.tolist()),
        "losses": {name: float(value) for name, value in losses.items()},
    }


def test_what_processes_tell_one_another():
    first, second = in_processes(2, talk)
    shared = {
        "any": [True, False],
        "first": {"rank": 0},
        "statistics": [0.0, 0.0],
        "losses": {"cls": 1.5, "reg": 5.0},
    }
    assert first == {**shared, "in turn": [0, 1, 2, 3, 4], "weights": ([0.0, 0.0], [0.0, 0.0])}
    assert second == {**shared, "in turn": [], "weights": ([1.0, 1.0], [0.0, 0.0])}


def test_alone_nothing_is_asked():
    assert any_process(True, False) == [True, False] and first_says(3) == 3
    assert list(in_turn(iter("ab"), 2)) == ["a", "b"]


def test_without_torchrun_there_is_one_process():
    with join_processes() as found:
        assert found == process() == (0, 1)
    assert not torch.distributed.is_initialized()


def test_more_processes_than_batches_are_refused(monkeypatch):
    model = OBJECT_REGISTRY.build({"type": "TinyDetector"})
    data = build_data_loader(dataset=OBJECT_REGISTRY.build({"type": "TinyDataset", "length": 4}), batch_size=2)
    monkeypatch.setattr(calibrator_module, "process", lambda: (1, 3))
    with pytest.raises(ConfigError, match="Calibrator: there are 2 batches for 3 processes; start at most 2") as caught:
        Calibrator(model, data).setup()
    assert "or lower the batch_size of the calibration loader" in str(caught.value)


def test_a_loader_that_shares_out_its_images_is_refused():
    dataset = OBJECT_REGISTRY.build({"type": "TinyDataset", "length": 4})
    sampler = torch.utils.data.DistributedSampler(range(4), 2, 0)
    data = build_data_loader(dataset=dataset, batch_size=2, sampler=sampler)
    with pytest.raises(DataError, match="DistributedSampler has shared out the images among 2 processes") as told:
        share_batches(data, 0, 2)
    assert "leave num_replicas and rank out of it" in str(told.value)


def test_different_networks_are_refused(monkeypatch):
    model = OBJECT_REGISTRY.build({"type": "TinyDetector"})
    graph = prepare(model.network, QConfig(), torch.zeros(1, 3, 8, 8))

    def gather(everyone: list[Any], own: Any) -> None:
        everyone[:] = [own, ({"other": None}, 1)]

    monkeypatch.setattr(processes_module, "process", lambda: (0, 2))
    monkeypatch.setattr(processes_module.distributed, "all_gather_object", gather)
    with pytest.raises(QuantizationError, match="processes calibrate different networks; give all of them the same"):
        merge_observers(graph)
