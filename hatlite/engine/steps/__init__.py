"""Training by the steps 1…4 of GNetDet's toolkit: its numbers, keys and paths, said in the words of a config.

A command line of that toolkit becomes a stage and overrides of the config, so that all behind it is
``tools/train.py --stage … --opts …``. Nothing but this package knows the other vocabulary.
"""

from hatlite.engine.steps.chip_model import step_to_convert
from hatlite.engine.steps.command import read_given, step_run, step_to_evaluate
from hatlite.engine.steps.keys import KEYS, key_table
from hatlite.engine.steps.stages import note_on_fusing, stage_of_step
from hatlite.engine.steps.words import read_words

__all__ = [
    "KEYS",
    "key_table",
    "note_on_fusing",
    "read_given",
    "read_words",
    "stage_of_step",
    "step_run",
    "step_to_convert",
    "step_to_evaluate",
]
