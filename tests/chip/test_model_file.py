import dataclasses
import hashlib
import struct

import numpy as np
import pytest
from gnetdet_programs import changed, gnetdet_program

from hatlite.chip import read_chip_model, write_chip_model
from hatlite.chip.model_file import FORMAT, chip_model_bytes, chip_program
from hatlite.errors import MarchError, OutputError, ProgramError
from hatlite.executor import Executor
from hatlite.program import dumps, save


@pytest.fixture(scope="module")
def program():
    return gnetdet_program(224)


@pytest.fixture(scope="module")
def content(program):
    return chip_model_bytes(program)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"size": 224, "seed": 1},
        {"size": 224, "ten_bits": True, "image_format": "YUV"},
        {"size": 448, "ten_bits": True, "coded": 15},
        {"size": 224, "classes": [f"c{i}" for i in range(245)], "thresholds": {"conf": 0.4}},
    ],
)
def test_what_is_read_is_what_was_written(settings, tmp_path):
    program = gnetdet_program(**settings)
    path = write_chip_model(program, tmp_path / "new" / "out.model")
    copy = read_chip_model(path)
    assert dumps(copy) == dumps(program)
    assert copy.metadata == program.metadata
    assert chip_model_bytes(copy) == path.read_bytes()
    assert [file.name for file in path.parent.iterdir()] == ["out.model"]


def test_the_copy_computes_the_same(program, content):
    img = np.random.default_rng(0).integers(0, 32, (1, 224, 224, 3)).astype(np.uint8)
    (one,), (other,) = (Executor(p).run({"img": img}).values() for p in (program, chip_program(content)))
    np.testing.assert_array_equal(one, other)
    assert 0 < np.mean(one > 0) < 1


def test_three_bits_take_three_bits(program, content):
    weights = sum(op.weight.values.size for op in program.ops if op.kind == "conv2d")
    assert len(dumps(program)) > weights > len(content)


def test_every_flipped_bit_is_noticed(content):
    for position in np.random.default_rng(0).choice(len(content), 200, replace=False):
        damaged = bytearray(content)
        damaged[position] ^= 1 << (position % 8)
        with pytest.raises(ProgramError, match="is damaged|is not a chip model|has format version"):
            chip_program(bytes(damaged))


def test_a_file_that_cannot_be_used_is_named(program, content, tmp_path):
    path = tmp_path / "out.model"
    again = "convert the program again"
    for damaged, text in (
        (content[:30], f"is truncated at 30 bytes; copy it again, or {again}"),
        (content[:-5], f"is damaged: the checksum differs .truncated or changed.; copy it again, or {again}"),
        (b"PK\x03\x04" + bytes(100), "is not a chip model; expected one written by tools/convert_to_chip.py"),
        (b"", "is not a chip model"),
        (content[:4] + struct.pack("<H", 2) + content[6:], "has format version 2; this hatlite reads version 1"),
    ):
        path.write_bytes(damaged)
        with pytest.raises(ProgramError, match=f"out.model: {text}"):
            read_chip_model(path)
    save(program, path)
    with pytest.raises(ProgramError, match="out.model: is not a chip model"):
        read_chip_model(path)
    with pytest.raises(ProgramError, match=r"none.model: cannot be read \(No such file"):
        read_chip_model(tmp_path / "none.model")


def altered(content, **fields):
    """The file with other fields of its first sublayer, rightly signed."""
    model = FORMAT.loads(content, lambda record: record)
    first = model.majors[0]
    sublayers = (dataclasses.replace(first.sublayers[0], **fields), *first.sublayers[1:])
    return FORMAT.dumps(
        dataclasses.replace(model, majors=(dataclasses.replace(first, sublayers=sublayers), *model.majors[1:]))
    )


def test_a_signed_file_that_is_no_program_is_refused(content):
    for forged, text in (
        (altered(content, filters=np.zeros(3, np.uint8)), "backbone.conv0 holds 3 bytes of kernels; expected 53"),
        (altered(content, output_channels=2**40), "backbone.conv0 holds 53 bytes of kernels; expected 14"),
        (altered(content, filters=np.full(53, 255, np.uint8)), "weight holds values that int8 cannot represent"),
        (altered(content, shift=40), "shift reaches from 40 to 40; expected 0…12"),
        (altered(content, shift="4"), "holds a Sublayer whose shift is '4' .str.; write the file again"),
        (altered(content, stride=2), "states a map of 224 pixels for backbone.conv1, which gets 112"),
        (FORMAT.dumps({"class": 1}), "holds no layers; convert the program again"),
    ):
        with pytest.raises(ProgramError, match=text):
            chip_program(forged)


def test_what_the_chip_does_not_hold_is_not_written(program, tmp_path):
    wide = dataclasses.replace(program, metadata={**program.metadata, "classes": ["a", "b"]})
    with pytest.raises(MarchError, match="gnetdet does not fit the GTI 5801: its head makes 11 channels; expected 10"):
        write_chip_model(wide, tmp_path / "out.model")
    first = program.ops[0]
    other = changed(program, first.name, weight=dataclasses.replace(first.weight, scale=None))
    with pytest.raises(ProgramError, match="gnetdet: backbone.conv0 is more than a chip model says; lower the network"):
        write_chip_model(other, tmp_path / "out.model")
    (output,) = program.outputs
    other = dataclasses.replace(
        program,
        outputs=(dataclasses.replace(output, layout="NHWC", name="o"),),
        values={**program.values, output.value: dataclasses.replace(program.values[output.value], scale=1.0)},
    )
    assert dumps(chip_program(chip_model_bytes(other))) == dumps(other)
    assert not list(tmp_path.iterdir())


def test_a_place_that_cannot_be_written(program, tmp_path):
    (tmp_path / "out.model").mkdir()
    with pytest.raises(OutputError, match=r"out\.model cannot be written \(Is a directory\)"):
        write_chip_model(program, tmp_path / "out.model")


def test_equal_programs_give_equal_bytes(program, content):
    shuffled = dataclasses.replace(program, values=dict(reversed(program.values.items())))
    assert chip_model_bytes(shuffled) == content
    assert hashlib.sha256(content[:-32]).digest() == content[-32:]
