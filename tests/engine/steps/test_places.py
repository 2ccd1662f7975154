import pytest

from hatlite.engine.callbacks import LrUpdater, StatsMonitor
from hatlite.engine.steps.places import find_place, index_of_type, value_at

CONFIG = {
    "batch_size": 16,
    "model": {"type": "GNetDet", "loss": {"loss_weights": [5, 0.005]}},
    "float_trainer": {"callbacks": [{"type": "Checkpoint"}, 3, {"type": "Nobody"}, {"type": "CosLrUpdater"}]},
}


@pytest.mark.parametrize(
    ("paths", "found", "value"),
    [
        (("batch_size", "data_loader.batch_size"), "batch_size", 16),
        (("loss_weights", "model.loss.loss_weights"), "model.loss.loss_weights", [5, 0.005]),
        (("model.pretrained",), "model.pretrained", None),
        (("{stage}_trainer.callbacks.LrUpdater",), "float_trainer.callbacks.3", {"type": "CosLrUpdater"}),
        (("{stage}_trainer.callbacks.0.type",), "float_trainer.callbacks.0.type", "Checkpoint"),
    ],
)
def test_the_first_path_that_leads_somewhere(paths, found, value):
    assert find_place(CONFIG, paths, "float") == found
    assert value_at(CONFIG, found) == value


@pytest.mark.parametrize(
    "path", ["model.loss.iou", "{stage}_trainer.callbacks.StatsMonitor.log_freq", "{stage}_trainer.callbacks.9", "a.b"]
)
def test_paths_that_lead_nowhere(path):
    assert find_place(CONFIG, (path,), "float") is None


def test_entries_are_told_apart_by_type():
    entries = CONFIG["float_trainer"]["callbacks"]
    assert (index_of_type(entries, LrUpdater), index_of_type(entries, StatsMonitor)) == (3, None)
