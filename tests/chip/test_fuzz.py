"""Whatever is done to an `out.model`, it is a program that verifies, or it is refused with a sentence."""

import numpy as np
import pytest
from gnetdet_programs import gnetdet_program
from hbir_mutations import MUTATIONS, SENTENCE

from hatlite.chip.model_file import chip_model_bytes, chip_program
from hatlite.errors import ProgramError
from hatlite.program import verify


def messages(count, seed):
    """Return what is said about each of `count` mutations; None for those that are programs all the same."""
    content = chip_model_bytes(gnetdet_program(224))
    said = []
    for index in range(count):
        damaged = MUTATIONS[index % len(MUTATIONS)](content, np.random.default_rng((seed, index)))
        try:
            verify(chip_program(damaged))
            said.append(None)
        except ProgramError as problem:
            said.append(str(problem))
    return said


def check(count, seed):
    refused = [text for text in messages(count, seed) if text is not None]
    assert 0.6 * count < len(refused) < count
    assert all(0 < len(text) <= SENTENCE for text in refused)


def test_forty_mutations():
    check(40, 0)


@pytest.mark.slow
def test_two_thousand_mutations():
    check(2000, 1)
