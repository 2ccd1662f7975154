"""The stubs are the identity in float, and carry what integers need."""

import pytest
import torch

from hatlite.errors import BuildError
from hatlite.nn.stubs import OUTPUT_DTYPES, DeQuantStub, QuantStub


@pytest.mark.parametrize("stub", [QuantStub(), QuantStub(scale=1 / 128), *map(DeQuantStub, OUTPUT_DTYPES)])
def test_identity_in_float(stub):
    x = torch.randn(1, 3, 2, 2)
    assert stub(x) is x


def test_carry_scale_and_dtype():
    assert repr(QuantStub(scale=0.5)) == "QuantStub(scale=0.5)"
    assert repr(DeQuantStub("int32")) == "DeQuantStub(dtype='int32')"


def test_refuses_an_unknown_dtype():
    with pytest.raises(BuildError, match="dtype is 'int4'; expected one of int8, int16, int32"):
        DeQuantStub("int4")
