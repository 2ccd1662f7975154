import sys

import pytest

from hatlite.errors import MissingExtraError
from hatlite.export import to_onnx
from hatlite.extras import import_extra
from hatlite.program.samples import random_program


def test_a_missing_package_is_named_with_what_installs_it(monkeypatch):
    monkeypatch.delitem(sys.modules, "hatlite.export.onnx_model", raising=False)
    monkeypatch.setitem(sys.modules, "onnx", None)
    for name in [name for name in sys.modules if name.startswith("hatlite.export.")]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(MissingExtraError, match=r"needs the package onnx, .*: pip install hatlite\[onnx\]"):
        to_onnx(random_program(0))


def test_a_module_of_our_own_that_is_missing_is_our_mistake():
    with pytest.raises(ModuleNotFoundError, match=r"hatlite\.nowhere") as caught:
        import_extra("hatlite.nowhere", "onnx")
    assert not isinstance(caught.value, MissingExtraError)
