from types import SimpleNamespace
from unittest.mock import Mock

import pytest

from hatlite.engine.callbacks import QuantRefresh
from hatlite.errors import ConfigError


def test_both_models_are_refreshed_once():
    loop = SimpleNamespace(model=Mock(), evaluation_model=Mock())
    QuantRefresh().on_epoch_end(loop)
    loop.model.network.refresh.assert_called_once_with()
    loop.evaluation_model.network.refresh.assert_called_once_with()
    loop.evaluation_model = loop.model
    QuantRefresh().on_epoch_end(loop)
    assert loop.model.network.refresh.call_count == 2


def steps_refreshed(refresh_steps, steps=10, steps_per_epoch=5):
    found = []
    loop = SimpleNamespace(model=Mock(), evaluation_model=Mock(), steps_per_epoch=steps_per_epoch)
    callback = QuantRefresh(refresh_steps)
    for loop.step in range(1, steps + 1):
        loop.step_in_epoch = (loop.step - 1) % steps_per_epoch + 1
        before = loop.model.network.refresh.call_count
        callback.on_step_end(loop)
        if loop.model.network.refresh.call_count > before:
            found.append(loop.step)
    loop.evaluation_model.network.refresh.assert_not_called()
    return found


def test_the_trained_model_is_refreshed_inside_an_epoch_and_not_twice_at_its_end():
    assert steps_refreshed(None) == []
    assert steps_refreshed(3) == [3, 6, 9]
    assert steps_refreshed(5) == []
    assert steps_refreshed(1) == [1, 2, 3, 4, 6, 7, 8, 9]


def test_ranges_follow_every_step_before_the_refresh():
    loop = SimpleNamespace(model=Mock(), step=3, step_in_epoch=3, steps_per_epoch=5)
    QuantRefresh(refresh_steps=3).on_step_end(loop)
    assert [name for name, *_ in loop.model.network.mock_calls] == ["end_step", "refresh"]
    loop.step_in_epoch = 5  # the epoch's end refreshes
    QuantRefresh(refresh_steps=3).on_step_end(loop)
    assert [name for name, *_ in loop.model.network.mock_calls] == ["end_step", "refresh", "end_step"]


def test_the_network_is_told_the_epoch():
    loop = SimpleNamespace(model=Mock(), epoch=4, num_epochs=12)
    QuantRefresh().on_epoch_begin(loop)
    loop.model.network.begin_epoch.assert_called_once_with(4, 12)


def test_less_than_one_step_is_refused():
    with pytest.raises(ConfigError, match="refresh_steps is 0; expected at least 1 step, or None"):
        QuantRefresh(0)
