import numpy as np
import pytest
from networks import SIGNED_MARCHES

from hatlite.march import get_march
from hatlite.program import OPERATORS, dumps, verify
from hatlite.program.samples import random_inputs, random_program


def test_the_same_seed_gives_the_same_program():
    assert dumps(random_program(3)) == dumps(random_program(3)) != dumps(random_program(4))


@pytest.mark.parametrize("march", SIGNED_MARCHES)
def test_samples_are_valid_and_use_every_operator_and_dtype(march):
    programs = [verify(random_program(seed, march=march)) for seed in range(20)]
    assert {op.kind for program in programs for op in program.ops} == set(OPERATORS)
    dtypes = {value.dtype for program in programs for value in program.values.values()}
    assert dtypes == {"int8", "uint8", "int16", "int32"}
    weighted = [
        (op, program.values[op.inputs[0]]) for program in programs for op in program.ops if hasattr(op, "weight")
    ]
    wanted = get_march(march).arithmetic.weight_dtypes
    assert {op.weight.dtype for op, _ in weighted} == set(wanted)
    assert {kind.dtype for op, kind in weighted if op.weight.dtype == wanted[-1]} == {"int8", "uint8", "int16"}


def test_inputs_use_both_ends():
    program = random_program(0)
    (array,) = random_inputs(program, 0, batch=3).values()
    facts = np.iinfo(array.dtype)
    assert (len(array), array.min(), array.max()) == (3, facts.min, facts.max)
