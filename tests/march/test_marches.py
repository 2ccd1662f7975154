import dataclasses

import pytest

from hatlite.errors import MarchError
from hatlite.march import MARCHES, get_march, register_march


def test_unknown_march_gets_a_suggestion():
    with pytest.raises(
        MarchError, match=r"march is 'bayes_sim', .*\n  Did you mean 'bayes-sim'\?\n  Registered: .*bayes-sim"
    ):
        get_march("bayes_sim")


@pytest.mark.parametrize("name", ["BAYES", "bayes", "bayes-e"])
def test_names_of_products_are_no_marches(name):
    with pytest.raises(MarchError, match=f"'{name}', .*\n  Did you mean 'bayes-sim'.*\n .* no facts of a product"):
        get_march(name)


def test_a_march_that_is_no_string():
    with pytest.raises(MarchError, match="march is None, which is not registered"):
        get_march(None)


def test_register_a_march_of_ones_own(monkeypatch):
    monkeypatch.setattr("hatlite.march.marches.MARCHES", dict(MARCHES))
    mine = dataclasses.replace(get_march("bayes-sim"), name="mine", clock_hz=1e6)
    assert register_march(mine) is mine
    assert register_march(mine) is get_march("mine")
    with pytest.raises(MarchError, match="'mine' is already registered with other facts"):
        register_march(dataclasses.replace(mine, clock_hz=2e6))
