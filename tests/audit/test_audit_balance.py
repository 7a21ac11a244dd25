"""Classes, sizes and colours."""

import numpy as np

from strop.audit import audit


def sentence(findings, kind: str) -> str:
    [finding] = findings.of(kind)
    return finding.sentence


def test_classes_missing_in_a_split_and_very_small_ones(paint):
    """Three birds to learn from, none to test on."""
    paint.classes("train")
    paint.classes("test", first=100)
    for i in range(3):
        paint(f"train/bird/{i}.png", 900 + i)
    findings = audit(paint.root)
    assert [item.note for item in findings.of("missing-class")[0].items] == ["test has no 'bird'"]
    assert [item.note for item in findings.of("few")[0].items] == ["bird in train: 3"]
    assert not findings.has_errors


def test_imbalance_is_told_above_ten_to_one(paint):
    """12 to 12 is even; 24 to 2 is 12 times as many."""
    paint.classes()
    assert not audit(paint.root).of("imbalance")
    for i in range(12):
        paint(f"cat/more{i}.png", 700 + i)
    for i in range(2, 12):
        (paint.root / f"dog/{i:02d}.png").unlink()
    assert sentence(audit(paint.root), "imbalance") == (
        "The largest class of train has 12 times the pictures of the smallest."
    )


def test_a_class_whose_pictures_are_all_broken_is_empty(paint):
    """Its folder holds files, and a training would see none."""
    paint.classes()
    (paint.root / "bird").mkdir()
    (paint.root / "bird/1.jpg").write_bytes(b"")
    findings = audit(paint.root)
    assert findings.of("empty-class")[0].items[0].note == "bird in train: none of its pictures can be read"
    assert findings.counts["train"]["bird"] == 0


def test_tiny_huge_and_the_spread_of_sizes(paint):
    """4 pixels beside 48, and 1,200 beside 48: both named, the spread with the median."""
    paint.classes()
    paint("cat/tiny.png", np.random.default_rng(0).integers(0, 255, (4, 60, 3)).astype(np.uint8))
    paint("cat/huge.png", np.random.default_rng(1).integers(0, 255, (1200, 1000, 3)).astype(np.uint8))
    findings = audit(paint.root)
    assert findings.of("tiny")[0].files == ("cat/tiny.png",)
    assert findings.of("huge")[0].files == ("cat/huge.png",)
    assert sentence(findings, "resolution") == "Sizes differ: 60 x 4 to 1000 x 1200, median 48 x 48."


def test_grey_single_channel_and_blank_pictures(paint):
    """Grey is three equal channels or one; a picture in red alone uses one channel; a flat one shows nothing."""
    paint.classes()
    rng = np.random.default_rng(0)
    luma = rng.integers(0, 255, (48, 48)).astype(np.uint8)
    paint("cat/grey.png", luma)
    paint("cat/grey3.png", np.repeat((255 - luma.T)[..., None], 3, 2))
    red = np.zeros((48, 48, 3), np.uint8)
    red[..., 0] = rng.integers(0, 255, (48, 48))
    paint("dog/red.png", red)
    paint("dog/flat.png", np.full((48, 48, 3), (9, 99, 200), np.uint8))
    findings = audit(paint.root)
    assert sentence(findings, "grey") == "2 pictures of 28 are grey."
    assert findings.of("one-channel")[0].files == ("dog/red.png",)
    assert findings.of("blank")[0].files == ("dog/flat.png",)


def test_a_class_told_by_being_grey(paint):
    """All cats grey, all dogs coloured: a model would learn the colour."""
    for i in range(20):
        rng = np.random.default_rng(i)
        paint(f"cat/{i}.png", rng.integers(0, 255, (20, 20)).astype(np.uint8))
        paint(f"dog/{i}.png", rng.integers(0, 255, (20, 20, 3)).astype(np.uint8))
    [finding] = audit(paint.root).of("grey-class")
    assert finding.items[0].note == "cat: 100 % grey, the others 0 %"
