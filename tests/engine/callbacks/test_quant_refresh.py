from types import SimpleNamespace
from unittest.mock import Mock

from hatlite.engine.callbacks import QuantRefresh


def test_both_models_are_refreshed_once():
    loop = SimpleNamespace(model=Mock(), evaluation_model=Mock())
    QuantRefresh().on_epoch_end(loop)
    loop.model.network.refresh.assert_called_once_with()
    loop.evaluation_model.network.refresh.assert_called_once_with()
    loop.evaluation_model = loop.model
    QuantRefresh().on_epoch_end(loop)
    assert loop.model.network.refresh.call_count == 2
