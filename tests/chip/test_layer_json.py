import json
from dataclasses import replace

import numpy as np
import pytest
from gnetdet_programs import WIDE, gnetdet_program

from hatlite.chip.layer_json import cap_lines, dat_json, model_json, output_cap, output_gains
from hatlite.errors import MarchError


def test_the_layers_of_448():
    program = gnetdet_program(448, widths=WIDE)
    written = dat_json(program)
    assert written["model"] == [{"ChipType": 5801, "MajorLayerNumber": 7}]
    assert json.loads(json.dumps(written)) == written
    keys = ("major_layer", "image_size", "input_channels", "output_channels", "pooling", "sublayer_number", "coef_bits")
    assert [tuple(layer[key] for key in keys) for layer in written["layer"]] == [
        (1, 448, 3, 64, True, 1, 3),
        (2, 224, 64, 64, True, 1, 3),
        (3, 112, 64, 128, True, 2, 3),
        (4, 56, 128, 256, True, 3, 3),
        (5, 28, 256, 256, True, 3, 3),
        (6, 14, 256, 256, False, 3, 3),
        (7, 14, 256, 256, False, 3, 8),
    ]
    convs = [op for op in program.ops if op.kind == "conv2d"]
    assert [shift for layer in written["layer"] for shift in layer["scaling"]] == [
        op.requantize.shift[0] for op in convs
    ]
    assert not any(layer["learning"] or layer["last_layer_out"] for layer in written["layer"])


def test_results_of_inner_layers():
    program = gnetdet_program(224)
    for kind in ("learning", "last_layer_out"):
        layers = dat_json(program, **{kind: [2, 6]})["layer"]
        assert [layer["major_layer"] for layer in layers if layer[kind]] == [2, 6]
        assert all(layer[kind] for layer in dat_json(program, **{kind: "all"})["layer"])
    with pytest.raises(MarchError, match="by --learning .* and by --last-layer-out .* the chip does not mix the two"):
        dat_json(program, learning=[1], last_layer_out=[2])
    with pytest.raises(MarchError, match="There is no major layer 7; gnetdet has 1 to 6"):
        dat_json(program, last_layer_out=[7])


@pytest.mark.parametrize("size", [224, 448])
def test_what_goes_in_and_comes_out(size):
    written = model_json(gnetdet_program(size, widths=WIDE))
    reader, network = written["layer"]
    assert written["version"] == 100
    assert (reader["operation"], reader["mode"], reader["shape"]) == ("IMAGEREADER", "CS_BGR24_PLANAR", [3, size, size])
    assert (network["operation"], network["chip"], network["mode"]) == ("GTICNN", "5801", 0)
    (image,), (output,) = network["inputs"], network["outputs"]
    assert image == {"shape": [size, size, 3], "format": "byte", "prefilter": "interlace_tile_encode"}
    assert output["shape"] == [14, 14, 256, 196, 32768]
    assert (output["format"], output["postfilter"]) == ("byte", "interlace_tile_decode")


@pytest.mark.parametrize(
    ("image_format", "mode"), [("BGR", "CS_BGR24_PLANAR"), ("RGB", "CS_RGB24_PLANAR"), ("YUV", "CS_YCRCB24_PLANAR")]
)
def test_the_reader_has_the_format_of_the_images(image_format, mode):
    assert model_json(gnetdet_program(224, image_format=image_format))["layer"][0]["mode"] == mode


def test_ten_bits_come_out_as_float():
    (output,) = model_json(gnetdet_program(224, ten_bits=True))["layer"][1]["outputs"]
    assert (output["format"], output["postfilter"]) == ("float", "interlace_tile_10bits_decode")


def test_the_last_cap_decodes_as_the_toolkit_does():
    """Real = value · CAP / 31, whatever the bits: a gain of 0.02 is a CAP of 0.62."""
    for ten_bits, highest in ((False, 31), (True, 1023 / 32)):
        program = gnetdet_program(224, ten_bits=ten_bits, caps=[*range(1, 16), 0.02 * highest])
        (port,) = program.outputs
        program = replace(program, outputs=(replace(port, scale=port.scale * 0.02),))
        *inner, last = map(float, cap_lines(program).splitlines())
        assert inner == list(range(1, 16)) and last == pytest.approx(0.62, rel=1e-12) == output_cap(program)
        (output,) = model_json(program)["layer"][1]["outputs"]
        assert output["gains"] == pytest.approx([last / 31] * 11, rel=1e-12)


def test_gains_of_channels_are_listed():
    program = gnetdet_program(224, ten_bits=True)
    gains = np.linspace(0.5, 2, 11)
    program = replace(program, outputs=(replace(program.outputs[0], scale=gains / 32),))
    assert output_gains(program) == gains.tolist()


def test_caps_are_lines():
    text = cap_lines(gnetdet_program(caps=[20.945, 1 / 3, *range(1, 15)]))
    assert text.splitlines()[:3] == ["20.945", "0.3333333333333333", "1"]
    assert len(text.splitlines()) == 16 and text.endswith("\n")
