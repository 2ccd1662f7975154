import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hatlite.analysis.lettering import BLACK, WHITE, Lettering, readable_on
from hatlite.analysis.pictures import PALETTE


@pytest.mark.parametrize("capital", [9, 14, 40])
def test_capitals_are_as_high_as_asked_and_stand_in_the_middle(capital):
    lettering = Lettering(capital)
    canvas = np.zeros((lettering.height, lettering.width("HH"), 3), np.uint8)
    lettering.write(canvas, "HH", (0, 0), WHITE)
    rows = np.flatnonzero((canvas > 127).any(axis=(1, 2)))
    assert len(rows) == pytest.approx(capital, abs=2)
    assert rows.mean() == pytest.approx((lettering.height - 1) / 2, abs=1.5)


@given(text=st.text("abcW ", max_size=40), width=st.integers(0, 300))
def test_fitted_text_fits(text, width):
    lettering = Lettering(10)
    fitted = lettering.fitted(text, width, keep=" 0.50")
    assert not fitted or lettering.width(fitted) <= width
    assert fitted == "" or fitted.endswith(" 0.50")
    if lettering.width(f"{text} 0.50") <= width:
        assert fitted == f"{text} 0.50"


def test_a_long_name_ends_in_dots():
    lettering = Lettering(10)
    fitted = lettering.fitted("megakaryocyte", lettering.width("megakary 0.50"), keep=" 0.50")
    assert fitted.startswith("mega") and fitted.endswith(".. 0.50")


@pytest.mark.parametrize(("ground", "ink"), [((0, 114, 178), WHITE), ((240, 228, 66), BLACK), ((0, 0, 0), WHITE)])
def test_ink_contrasts_with_its_ground(ground, ink):
    assert readable_on(ground) == ink


@pytest.mark.parametrize("color", PALETTE)
def test_the_palette_carries_text(color):
    def luminance(rgb):
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (v / 255 for v in rgb)]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted((luminance(color), luminance(readable_on(color))))
    assert (high + 0.05) / (low + 0.05) >= 4.5  # WCAG 2.1, level AA
