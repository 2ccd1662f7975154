from hatlite.data.datasets.report import DataReport, listed, refusal


def test_a_report_counts_all_and_names_ten():
    report = DataReport()
    for number in range(12):
        report.add("boxes dropped", f"image {number}")
    report.add("images skipped", "x.jpg")
    assert report.counts == {"boxes dropped": 12, "images skipped": 1}
    first, second = str(report).splitlines()
    assert first.startswith("12 boxes dropped: image 0; image 1;") and first.endswith("image 9, …")
    assert second == "1 images skipped: x.jpg"


def test_a_report_without_cases_is_false():
    assert not DataReport()
    assert str(DataReport()) == "nothing left out"


def test_a_report_from_counts_has_no_examples():
    assert str(DataReport({"boxes dropped": 3})) == "3 boxes dropped"


def test_listed_names_ten():
    assert listed(["a", "b"]) == "a, b"
    assert listed([str(i) for i in range(12)]).endswith("8, 9 and 2 more")


def test_an_example_is_named_once():
    report = DataReport()
    for _ in range(12):
        report.add("objects left out", "a.jpg")
    report.add("objects left out", "b.jpg", 3)
    assert str(report) == "15 objects left out: a.jpg; b.jpg"


def test_one_problem_is_a_sentence_and_several_are_a_list():
    assert str(refusal("They have", ["a is b"], " Mend it.")) == "a is b. Mend it."
    several = str(refusal("They have", [f"{number} is wrong" for number in range(12)]))
    assert several.startswith("They have 12 problems:\n- 0 is wrong.\n- 1 is wrong.")
    assert several.endswith("\n- 9 is wrong.\n- and 2 more.")
