import pytest
import torch
from process_groups import in_processes

from hatlite.engine.evaluation import evaluate, evaluating
from hatlite.errors import ConfigError
from hatlite.registry import OBJECT_REGISTRY

CPU = torch.device("cpu")


def build(cfg):
    return OBJECT_REGISTRY.build(cfg)


def look_and_fail(model):
    with evaluating(model):
        assert not model[0].training
        assert not torch.is_grad_enabled()
        raise KeyError("lost")


def test_modes_come_back_module_by_module_also_after_an_error():
    model = torch.nn.Sequential(torch.nn.Dropout(), torch.nn.BatchNorm2d(1)).train()
    model[1].eval()
    with pytest.raises(KeyError, match="lost"):
        look_and_fail(model)
    assert [model.training, model[0].training, model[1].training] == [True, True, False]


def test_the_network_runs_once_per_batch(tiny_config):
    model, calls = build(tiny_config["model"]), []
    model.network.register_forward_hook(lambda *_: calls.append(1))
    evaluate(model, build(tiny_config["val_data_loader"]), build({"type": "MeanScore"}), device=CPU)
    assert len(calls) == 2


def test_losses_are_means_over_images_whatever_the_batch_size(tiny_config):
    model = build(tiny_config["model"])

    def val_loss(batch_size):
        cfg = {**tiny_config["val_data_loader"], "batch_size": batch_size}
        return evaluate(model, build(cfg), build({"type": "MeanScore"}), device=CPU)["val_loss"]

    assert val_loss(3) == pytest.approx(val_loss(1))


def test_the_metric_gets_the_data_set_of_the_config(tiny_config):
    metrics = build({"type": "MeanScore"})
    evaluate(build(tiny_config["model"]), build(tiny_config["val_data_loader"]), metrics, device=CPU)
    assert type(metrics.bound).__name__ == "TinyDataset"


def test_an_empty_loader_is_refused(tiny_config):
    loader = build(tiny_config["val_data_loader"])
    loader.batch_sampler.set_epoch(0, start_step=99)
    with pytest.raises(ConfigError, match="The evaluation loader has no batches; its data set is empty"):
        evaluate(build(tiny_config["model"]), loader, build({"type": "MeanScore"}), device=CPU)


@OBJECT_REGISTRY.register
class Seen:
    """A metric that notes what comes, and sums in the order in which it comes."""

    def bind(self, dataset):
        self.classes = dataset.classes

    def reset(self):
        self.ids, self.total = [], 0.0

    def update(self, batch, detections):
        assert [len(found) for found in detections] == [1] * len(batch["img"]) == [1] * len(batch["gt_bboxes"])
        self.ids += batch["img_id"]
        for found in detections:
            self.total += float(found.scores[0])

    def compute(self):
        assert self.ids == list(range(7)), "each image once, in the order of the loader"
        return {"total": self.total}


def measure(rank, config, sampler):
    torch.manual_seed(0)
    model = build(config["model"])
    loader = {**config["val_data_loader"], "dataset": {"type": "TinyDataset", "length": 7}, **sampler}
    found = evaluate(model, build(loader), build({"type": "Seen"}), device=CPU)
    assert found.pop("images_per_second") > 0
    return found


@pytest.mark.parametrize(
    "sampler",
    [{}, {"sampler": {"type": torch.utils.data.DistributedSampler, "shuffle": False}}],
    ids=["plain", "sampler"],
)
@pytest.mark.parametrize("count", [2, 3, 5])
def test_several_processes_measure_the_digits_of_one(tiny_config, count, sampler):
    """Four batches for up to five processes; a sampler that would pad for them is not asked to."""
    alone = measure(0, tiny_config, {})
    assert alone["images"] == 7 and alone["total"] > 1
    assert in_processes(count, measure, tiny_config, sampler) == [alone] * count
