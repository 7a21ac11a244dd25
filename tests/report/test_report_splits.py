"""Train, validation and test side by side: every number where it belongs, in 80 columns."""

from strop.report.splits import remarks, side_by_side


def entry(split, checkpoint, accuracy, **more):
    figures = {
        "n": 1_281_167 if split == "train" else 50_000,
        "macro_f1": 0.5,
        "loss": 12.3456,
        "brier": 0.1,
        "ece": 0.05,
    }
    return {"split": split, "checkpoint": checkpoint, "accuracy": accuracy, **figures, **more}


def test_columns_in_order():
    """Train before val before test, best before last; the gap is that of the best, in points."""
    both = [("test", 0.7), ("val", 0.75), ("train", 1.0)]
    calibrated = {"temperature": 1.5, "calibrated": {"loss": 1.25, "ece": 0.01}}
    lines = side_by_side([entry(s, c, a, **calibrated) for s, a in both for c in ("best", "last")]).splitlines()
    words = {line[:15].strip(): line[15:].split() for line in lines}
    assert lines[0].split() == ["train", "train", "val", "val", "test", "test"]
    assert lines[1].split() == ["best", "last"] * 3
    assert words["accuracy %"] == ["100.00", "100.00", "75.00", "75.00", "70.00", "70.00"]
    assert words["pictures"][0] == "1,281,167" and words["NLL with it"] == ["1.250"] * 6
    assert lines[-2:] == ["overfit gap, train - val: 25.00 points", "overfit gap, train - test: 30.00 points"]
    assert max(map(len, lines)) <= 78


def test_the_temperature_of_a_file_is_told_from_what_is_fitted_on_top():
    """An exported file has its temperature in it: the figures are with it, and what is fitted then is a factor."""
    more = {"temperature": 1.0, "file_temperature": 1.31, "calibrated": {"loss": 1.25, "ece": 0.01}}
    lines = side_by_side([entry("val", None, 0.75, **more), entry("test", None, 0.7, **more)]).splitlines()
    words = {line[:15].strip(): line[15:].split() for line in lines}
    assert words["T in the file"] == ["1.31"] * 2 and words["T on top of it"] == ["1.00"] * 2
    assert "temperature" not in words


def test_a_file_has_no_checkpoints():
    """One column a split, no line of checkpoints, no gap without training pictures, none of what was not measured."""
    text = side_by_side([entry("val", None, 0.75), entry("test", None, 0.7)])
    assert "best" not in text and "gap" not in text and "temperature" not in text


def test_classes_without_pictures_are_named():
    """They are in no macro figure, so a reader must know; classes with pictures are not named."""
    rows = [{"name": name, "support": support} for name, support in (("bag", 3), ("boot", 0), ("shirt", 0))]
    assert remarks({"per_class": rows}) == ["no pictures of boot and shirt: left out of macro figures"]
    assert remarks({"per_class": rows[:1]}) == []
