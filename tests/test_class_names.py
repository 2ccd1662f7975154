import pytest

from hatlite.class_names import difference, in_case_only, meant, repeated, require_names, shown
from hatlite.errors import DataError


@pytest.mark.parametrize(
    ("ours", "theirs", "said"),
    [
        (["cat", "dog"], ("cat", "dog"), ""),
        (["cat", "cow"], ["cat", "dog"], "only A has 'cow' and only B has 'dog'"),
        (["cat"], ["cat", "dog", "owl"], "only B has 'dog', 'owl'"),
        (["cat", "dog", "owl"], ["cat", "owl", "dog"], "class 1 is 'dog' in A and 'owl' in B"),
        (["cat", "cat"], ["cat"], "A has 2 names and B 1, some of them twice"),
    ],
)
def test_the_difference(ours, theirs, said):
    assert difference(ours, theirs, "A", "B") == said


def test_long_lists_are_cut():
    assert shown([f"c{i}" for i in range(12)]).endswith("'c9' and 2 more")


def test_names_that_occur_twice():
    assert repeated(["a", "b", "a", "c", "c", "a"]) == ["a", "c"]


def test_what_was_meant():
    assert meant(["zebra", "dogg"], ["cat", "dog"]) == "\n  Did you mean 'dog'?"
    assert meant(["zebra"], ["cat", "dog"]) == ""


def test_what_differs_in_case_only_is_told_as_pairs():
    assert meant(["rbc", "wbc"], ["RBC", "WBC", "dog"]) == (
        "\n  'RBC' and 'rbc'; 'WBC' and 'wbc' differ in case only: spell them alike if they are one class."
    )
    assert in_case_only(["RBC", "dog", "rbc"], ["RBC", "dog", "rbc"]).startswith("\n  'RBC' and 'rbc' differ in case")
    assert in_case_only(["RBC", "dog"], ["RBC", "dog"]) == ""


def test_names_are_a_list_of_strings():
    require_names(["RBC"], "Data")
    with pytest.raises(DataError, match=r"^Data: classes is 'RBC'; expected a list of names, such as \['RBC'\]\.$"):
        require_names("RBC", "Data")
    with pytest.raises(DataError, match=r"^Data: classes has 2 \(int\); expected names as the annotations have them"):
        require_names(["RBC", 2], "Data")
