from dataclasses import replace

from gnetdet_programs import WIDE, changed, gnetdet_program

from hatlite.chip.summary import chip_summary


def test_the_layers_and_what_they_take():
    first, *majors, whole, images = chip_summary(gnetdet_program(448, widths=WIDE, classes=["c"] * 20)).splitlines()
    assert first.split() == ["major", "layer", "map", "channels", "bits", "pool", "shifts", "sublayers"]
    assert len(majors) == 7
    assert majors[0].split() == ["1", "448×448", "3→64", "3", "max", "7", "backbone.conv0"]
    assert majors[6].split()[:4] == ["7", "14×14", "256→256", "8"]
    assert majors[6].endswith("backbone.conv13, backbone.conv14, head.conv15")
    assert whole == ("7 of 7 major layers; weights take 4,332,872 of 6,553,600 bytes (66.1%); the output has 5 bits.")
    assert images == "gnetdet takes images of 448×448 pixels in BGR."


def test_a_finer_output():
    assert "; the output has 10 bits.\n" in chip_summary(gnetdet_program(224, ten_bits=True))


def test_a_model_is_told_by_its_size_whatever_its_name():
    summary = chip_summary(replace(gnetdet_program(224, image_format="YUV"), name="gnetdet_448_voc"))
    assert summary.endswith("\ngnetdet_448_voc takes images of 224×224 pixels in YUV.")


def test_a_stride_in_place_of_a_pool():
    program = changed(gnetdet_program(224), "backbone.conv1", stride=(2, 2))
    program = replace(program, ops=tuple(op for op in program.ops if op.kind == "conv2d"))
    assert "every 2nd" in chip_summary(program).splitlines()[1]
