import dataclasses
import hashlib
import subprocess
import sys

import msgpack
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hatlite.errors import OutputError, ProgramError
from hatlite.executor import Executor
from hatlite.program import dumps, format_program, load, loads, save
from hatlite.program.records import PREFIX
from hatlite.program.samples import random_inputs, random_program
from hatlite.program.serialize import checksum


def test_a_program_survives(program, tmp_path):
    path = save(program, tmp_path / "new" / "tiny.hbir")
    copy = load(path)
    assert format_program(copy) == format_program(program)
    assert copy.metadata == program.metadata
    assert dumps(copy) == dumps(program) == path.read_bytes()
    np.testing.assert_array_equal(copy.outputs[1].scale, [0.1, 0.2, 0.3, 0.4])
    assert [p.name for p in path.parent.iterdir()] == ["tiny.hbir"]


@settings(max_examples=10, derandomize=True)
@given(st.integers(0, 2**31))
def test_the_copy_computes_the_same(seed):
    program = random_program(seed)
    inputs = random_inputs(program, seed)
    outputs = [Executor(p, "reference").run(inputs) for p in (program, loads(dumps(program)))]
    for name in outputs[0]:
        np.testing.assert_array_equal(outputs[0][name], outputs[1][name])


def test_every_flipped_bit_is_noticed(program):
    content = dumps(program)
    for position in np.random.default_rng(0).choice(len(content), 200, replace=False):
        damaged = bytearray(content)
        damaged[position] ^= 1 << (position % 8)
        with pytest.raises(ProgramError, match=r"is damaged|is not a \.hbir file|has format version"):
            loads(bytes(damaged))


@pytest.mark.parametrize("length", [0, 3, 4, 20, 45, 46, 500, -1])
def test_a_truncated_file_is_named(program, tmp_path, length):
    path = tmp_path / "cut.hbir"
    path.write_bytes(dumps(program)[:length])
    with pytest.raises(ProgramError, match=r"cut\.hbir: is (truncated|damaged|not a \.hbir file)"):
        load(path)


def signed(content):
    return content + hashlib.sha256(content).digest()


def with_header(header):
    packed = msgpack.packb(header)
    return signed(PREFIX.pack(b"HBIR", 1, len(packed)) + packed)


def test_another_version_is_named():
    with pytest.raises(ProgramError, match="has format version 2; this hatlite reads version 1"):
        loads(signed(PREFIX.pack(b"HBIR", 2, 0)))


def test_a_header_that_is_longer_than_the_file():
    with pytest.raises(ProgramError, match="states a header of 18446744073709551615 bytes and has 46 in all"):
        loads(signed(PREFIX.pack(b"HBIR", 1, 2**64 - 1)))


def test_a_march_that_this_version_lacks_is_a_problem_of_the_file(program):
    content = dumps(program).replace(b"bayes-sim", b"bayes-sin")[:-32]
    with pytest.raises(ProgramError, match="march is 'bayes-sin', which is not registered"):
        loads(signed(content))


def test_messages_stay_short(program):
    content = dumps(dataclasses.replace(program, name="n" * 100_000)).replace(b"bayes-sim", b"bayes-si\n")[:-32]
    with pytest.raises(ProgramError) as caught:
        loads(signed(content))
    assert len(str(caught.value)) <= 1000


def test_the_checksum_is_that_of_the_file(program, tmp_path):
    path = save(program, tmp_path / "tiny.hbir")
    assert checksum(path) == hashlib.sha256(path.read_bytes()[:-32]).hexdigest() == dumps(program)[-32:].hex()
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ProgramError, match=r"tiny\.hbir: is damaged: the checksum differs"):
        checksum(path)


def test_a_file_of_another_kind_is_not_read_to_its_end():
    with pytest.raises(ProgramError, match=r"/dev/zero: is not a \.hbir file"):
        load("/dev/zero")


def test_another_kind_of_file(tmp_path):
    path = tmp_path / "model.hbir"
    path.write_bytes(b"PK\x03\x04" + bytes(100))
    with pytest.raises(ProgramError, match=r"model\.hbir: is not a \.hbir file; expected one written by program\.save"):
        load(path)


@pytest.mark.parametrize(
    ("header", "text"),
    [
        (
            {"class": "Softmax", "fields": {}},
            "holds a 'Softmax', which this version does not know; it knows Add, Concat, Conv2d",
        ),
        ({"class": "Source", "fields": {}}, "holds no program"),
        ({"class": "Source", "fields": {"colour": 1}}, "holds a Source with 'colour'; this version knows module, line"),
        ({"fields": {}}, "the structure is invalid"),
        ([1, 2], "holds no program"),
        ({"class": "array", "dtype": "object", "shape": [1], "offset": 0}, "holds an array of 'object'; this version"),
        (
            {"class": "array", "dtype": "int8", "shape": [99], "offset": 0},
            r"of int8 and shape \[99\] at byte 0; expected",
        ),
        (
            {"class": "array", "dtype": "int8", "shape": [-1], "offset": 0},
            r"array of shape \[-1\]; expected whole numb",
        ),
        ({"class": "array", "dtype": "int8", "shape": "x", "offset": 0}, "array of shape 'x'; expected whole numbers"),
    ],
)
def test_content_that_is_no_program(header, text):
    with pytest.raises(ProgramError, match=text):
        loads(with_header(header))


def test_an_encoding_of_the_future_is_named(program):
    content = dumps(program).replace(b"dense", b"codeb")[:-32]
    with pytest.raises(ProgramError, match="weight encoding is 'codeb'; this version knows dense"):
        loads(signed(content))


def test_an_invalid_program_is_neither_written_nor_read(program, tmp_path):
    broken = dataclasses.replace(program, outputs=())
    with pytest.raises(ProgramError, match="tiny: has no outputs"):
        save(broken, tmp_path / "x.hbir")
    assert not list(tmp_path.iterdir())


def test_a_missing_file(tmp_path):
    with pytest.raises(ProgramError, match=r"none\.hbir: cannot be read \(No such file"):
        load(tmp_path / "none.hbir")


def test_a_place_that_cannot_be_written(program, tmp_path):
    (tmp_path / "dir.hbir").mkdir()
    with pytest.raises(OutputError, match=r"dir\.hbir cannot be written \(Is a directory\)"):
        save(program, tmp_path / "dir.hbir")
    assert [p.name for p in tmp_path.iterdir()] == ["dir.hbir"]


def test_programs_need_no_torch():
    code = "import sys, hatlite.program, hatlite.executor.kernels.reference; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
