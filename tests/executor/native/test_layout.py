"""Values that live at once never share memory."""

from hypothesis import given
from hypothesis import strategies as st

from hatlite.executor.native.layout import Place, plan_memory
from hatlite.program import TensorType

LIFE = st.tuples(st.integers(0, 9), st.integers(0, 5)).map(lambda pair: (pair[0], pair[0] + pair[1]))


@given(st.lists(st.tuples(st.integers(1, 50), LIFE), max_size=12))
def test_no_two_values_overlap_in_space_and_time(drawn):
    sizes = {str(i): size for i, (size, _) in enumerate(drawn)}
    lives = {str(i): life for i, (_, life) in enumerate(drawn)}
    placed, total = plan_memory(sizes, lives)
    for a in placed:
        assert 0 <= placed[a] and placed[a] + sizes[a] <= total
        for b in placed:
            together = a != b and lives[a][0] <= lives[b][1] and lives[b][0] <= lives[a][1]
            assert not together or placed[a] + sizes[a] <= placed[b] or placed[b] + sizes[b] <= placed[a]


def test_what_follows_one_another_shares_memory():
    placed, total = plan_memory({"a": 64, "b": 64, "c": 64}, {"a": (0, 1), "b": (1, 2), "c": (2, 3)})
    assert placed["a"] == placed["c"] != placed["b"] and total == 128


def test_a_place_by_hand():
    place = Place(TensorType((2, 3, 5), "int8", 1.0), batch=2, border=1)
    assert (place.pixel, place.row, place.image, place.zero) == (5, 5 * 5, 4 * 5 * 5, 128)
    assert place.origin == 25 + 5 and place.size == 256
    assert Place(TensorType((2, 3, 5), "int32", [1.0] * 5), batch=1).pixel == 20
