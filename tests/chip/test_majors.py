from gnetdet_programs import WIDE, gnetdet_program

from hatlite.chip.majors import chain_problems, layers_of, majors_of


def counted(program):
    """(side, sublayers, channels, bits) of every major layer."""
    assert list(chain_problems(program)) == []
    majors = majors_of(layers_of(program))
    assert [major.number for major in majors] == list(range(1, len(majors) + 1))
    return [(major.side, len(major.layers), major.channels, major.weight_bits) for major in majors]


def test_448_fills_seven():
    assert counted(gnetdet_program(448, widths=WIDE)) == [
        (448, 1, 64, 3),
        (224, 1, 64, 3),
        (112, 2, 128, 3),
        (56, 3, 256, 3),
        (28, 3, 256, 3),
        (14, 3, 256, 3),
        (14, 3, 256, 8),
    ]


def test_224_has_six():
    assert counted(gnetdet_program(224, widths=WIDE)) == [
        (224, 2, 64, 3),
        (112, 2, 128, 3),
        (56, 3, 256, 3),
        (28, 3, 256, 3),
        (14, 3, 256, 3),
        (14, 3, 256, 8),
    ]


def test_ten_bits_stand_alone():
    assert counted(gnetdet_program(224, ten_bits=True))[-2:] == [(14, 2, 16, 8), (14, 1, 16, 8)]
    assert counted(gnetdet_program(448, ten_bits=True, coded=15))[-2:] == [(14, 5, 16, 3), (14, 1, 16, 8)]


def test_one_has_twelve_sublayers_at_most():
    program = gnetdet_program(224, widths=[16] * 15, pooled=(), coded=15)
    assert counted(program) == [(224, 12, 16, 3), (224, 3, 16, 3), (224, 1, 16, 8)]


def test_a_head_is_filled_up_with_zeros():
    def stored(**settings):
        return layers_of(gnetdet_program(**settings))[-1].stored_channels

    assert stored() == 16
    assert stored(widths=WIDE) == 256
    assert stored(classes=["c"] * 5) == 16
    assert stored(classes=["c"] * 6) == 32  # strictly above 16
    assert stored(classes=["c"] * 245) == 256
    assert stored(classes=["c"] * 246) == 512


def test_a_shift_is_that_of_the_weights_whatever_the_output_keeps():
    for ten_bits in (False, True):
        for layer in layers_of(gnetdet_program(ten_bits=ten_bits)):
            assert layer.conv.weight.scale[0] == 2.0**-layer.shift
