"""Whatever is done to a `.hbir` file, it is a program that verifies and runs, or it is refused with a sentence.

The mutations run in a process whose memory is limited; that time is in proportion to the bytes is a matter of how
:mod:`hatlite.program.header` and :mod:`hatlite.program.records` read them, and not measured here.
"""

import json
import subprocess
import sys
from pathlib import Path

import msgpack
import pytest
from hbir_mutations import nodes, with_header

from hatlite.errors import ProgramError
from hatlite.program import dumps, loads

SCRIPT = Path(__file__).parents[1] / "hbir_mutations.py"

pytestmark = pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is limited as Linux does it")


def mutated(count, seed):
    command = [sys.executable, "-W", "error", str(SCRIPT), str(count), str(seed)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr[-3000:]
    found = json.loads(result.stdout)
    assert found["refused"] + found["accepted"] == count
    assert found["refused"] > 0.8 * count and found["run"] > 0.02 * count  # the mutations reach every depth
    return found


def test_a_thousand_mutations():
    mutated(1000, 0)


@pytest.mark.slow
def test_ten_thousand_mutations():
    mutated(10_000, 1)


def test_arrays_are_read_once(program):
    """Ten thousand weights that all lie at the same bytes would be ten thousand copies of them."""

    def alias(header):
        tree = msgpack.unpackb(header)
        arrays = [c[k] for c, k in nodes(tree) if isinstance(c[k], dict) and c[k].get("class") == "array"]
        for array in arrays[1:]:
            array["offset"] = arrays[0]["offset"]
        return msgpack.packb(tree)

    with pytest.raises(ProgramError, match=r"array of int8 and shape .4, 3, 3, 2. at byte 0; expected it at byte 32,"):
        loads(with_header(dumps(program), alias))


def test_bytes_that_belong_to_no_array(program):
    with pytest.raises(ProgramError, match="holds 7 bytes that belong to no array"):
        loads(with_header(dumps(program) + bytes(7), lambda header: header))
