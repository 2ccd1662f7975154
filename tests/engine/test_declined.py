import re

import pytest

from hatlite.engine.declined import DECLINED
from hatlite.errors import UnknownTypeError
from hatlite.registry import OBJECT_REGISTRY


@pytest.mark.parametrize("name", DECLINED)
def test_the_sentence_is_the_answer_and_names_what_exists(name):
    with pytest.raises(UnknownTypeError, match=re.escape(f"does not have: {DECLINED[name]}")):
        OBJECT_REGISTRY.build({"type": name})
    assert DECLINED[name].endswith(".")
    kinds = re.findall(r"\b(?:[A-Z][a-z]+){2,}\b|\bcollect\w+|\b\w+_trainer\b", DECLINED[name])
    assert [kind for kind in kinds if kind not in OBJECT_REGISTRY and kind != "DataLoader"] == []
