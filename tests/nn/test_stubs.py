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


def test_a_gain_multiplies_what_leaves():
    stub = DeQuantStub("int16", channels=2)
    assert stub.gain.tolist() == [1.0, 1.0] and stub.gain.dtype == torch.float64
    stub.gain.copy_(torch.tensor([0.5, 3.0]))
    x = torch.ones(1, 2, 1, 1)
    assert stub(x).flatten().tolist() == [0.5, 3.0]
    assert stub.scaled(x, torch.tensor(0.25, dtype=torch.float64)).flatten().tolist() == [0.125, 0.75]
    assert stub.scaled(x[:, :, 0, 0], torch.tensor([2.0, 1.0])).tolist() == [[1.0, 3.0]]
    assert list(stub.state_dict()) == ["gain"] and not DeQuantStub().state_dict()
    assert DeQuantStub().scaled(x, torch.tensor(2.0)).flatten().tolist() == [2.0, 2.0]
