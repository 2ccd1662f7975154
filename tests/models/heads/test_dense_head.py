"""DenseHead: names of outputs, channels from the neck, and what is refused."""

import pytest

from hatlite.errors import BuildError
from hatlite.models.heads.dense_head import DenseHead


class Own(DenseHead):
    kinds = ("cls_logits", "mask")
    made = None

    def make_layers(self, in_channels):
        assert self.made is None
        self.made = dict(in_channels)


def test_outputs_have_kind_and_stride_in_their_name():
    head = Own(3, (8, 16), (16,))
    assert head.output_strides == {"cls_logits_s16": 16, "mask_s16": 16}
    assert list(Own(3, (8, 16)).output_strides) == ["cls_logits_s8", "mask_s8", "cls_logits_s16", "mask_s16"]


@pytest.mark.parametrize(
    ("options", "dtype"), [({}, "int32"), ({"int8_output": True}, "int8"), ({"int16_output": True}, "int16")]
)
def test_type_of_outputs(options, dtype):
    assert Own(3, (8,), **options).dequant.dtype == dtype


def test_channels_come_from_the_neck_once():
    head = Own(3, (8, 16))
    assert head.made is None
    head.bind({8: 4, 16: 4})
    head.bind({8: 4, 16: 4})
    assert head.made == head.in_channels == {8: 4, 16: 4}
    assert head.shared_channels(head.in_channels) == 4
    with pytest.raises(BuildError, match=r"head.stride2channels is \{8: 4, 16: 4\}, but the neck's channels is \{8: 5"):
        head.bind({8: 5, 16: 4})
    with pytest.raises(BuildError, match=r"head.in_strides is \[8, 16\], but neck.out_strides is \[8\]"):
        head.bind({8: 4})


def test_refuses_what_does_not_fit():
    with pytest.raises(BuildError, match=r"Own: head.out_strides \[32\] must be some of head.in_strides \[8, 16\]"):
        Own(3, (8, 16), (32,))
    text = r"Own: head.out_strides \[8, 16, 16\] must .* each stride once; write \[8, 16\]\."
    with pytest.raises(BuildError, match=text):
        Own(3, (8, 16), (8, 16, 16))
    with pytest.raises(BuildError, match=r"Own: head.in_strides \[16, 8\] must rise .*; write \[8, 16\]\."):
        Own(3, (16, 8))
    with pytest.raises(BuildError, match=r"Own: head.out_strides \[\] must .*; write \[8, 16\]\."):
        Own(3, (8, 16), ())
    with pytest.raises(BuildError, match="Own: int8_output and int16_output are both True; set one of them, or none"):
        Own(3, (8,), int8_output=True, int16_output=True)
    with pytest.raises(BuildError, match=r"Own: head.stride2channels is \{8: 4\}; it lacks the strides \[16\] of head"):
        Own(3, (8, 16), stride2channels={8: 4})
    with pytest.raises(BuildError, match=r"Own: head.stride2channels is \{8: 4, 16: 5\}; expected one number of chann"):
        Own(3, (8, 16)).shared_channels({8: 4, 16: 5})
