import pytest

from hatlite.engine.sections import section
from hatlite.errors import ConfigError

HINTS = {"name": str, "opt": int | str, "anything": None}


def test_a_section_is_checked_and_may_be_missing():
    assert section({}, "own_cfg", HINTS) == {}
    given = {"name": "a", "opt": "O3", "anything": [1]}
    assert section({"own_cfg": given}, "own_cfg", HINTS) is given


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ("O3", "config['own_cfg'] is 'O3'; expected a dict with name, opt, anything."),
        ({"nam": 1}, "config['own_cfg'] has no key 'nam'; it takes name, opt, anything.\n  Did you mean 'name'?"),
        ({"opt": 1.5}, "config['own_cfg']['opt'] is 1.5; expected a whole number or a text."),
    ],
)
def test_what_does_not_belong_there_is_told(given, sentence):
    with pytest.raises(ConfigError) as caught:
        section({"own_cfg": given}, "own_cfg", HINTS)
    assert str(caught.value) == sentence
