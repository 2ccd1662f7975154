import pytest

from hatlite.executor import Executor
from hatlite.program import output_shape
from hatlite.program.samples import random_inputs, random_program


@pytest.mark.parametrize("seed", range(8))
def test_shapes_are_those_that_kernels_make(seed):
    program = random_program(seed)
    values = Executor(program, "reference").run(random_inputs(program, seed, batch=2), keep="all")
    for op in program.ops:
        shapes = [program.values[name].shape for name in op.inputs]
        assert values[op.output].shape == (2, *output_shape(op, *shapes))
