"""Copies: exact and near, within a split and across, under one label and two."""

import shutil

import numpy as np
import pytest
from PIL import Image

from strop.audit import audit


def resave(source, target, change=lambda image: image, **options):
    target.parent.mkdir(parents=True, exist_ok=True)
    change(Image.open(source)).save(target, **options)


def kinds(findings) -> dict[str, int]:
    """Counts by kind; what the tiny test folder always brings with it is left out."""
    return {f.kind: f.count for f in findings.found if f.kind not in ("few", "resolution")}


def test_a_clean_folder_has_no_findings(paint):
    """Different pictures in two classes and two splits: nothing to say."""
    paint.classes("train")
    paint.classes("test", first=100)
    findings = audit(paint.root)
    assert kinds(findings) == {} and not findings.has_errors and findings.sum == "nothing found"


@pytest.mark.parametrize("quick", [False, True])
def test_exact_duplicates_leaks_and_two_labels_are_found(paint, quick):
    """Quick mode finds what equal files tell, too."""
    paint.classes("train")
    paint.classes("test", first=100)
    train, test = paint.root / "train", paint.root / "test"
    shutil.copy(train / "cat/00.png", train / "cat/copy.png")
    shutil.copy(train / "cat/01.png", test / "cat/leak.png")
    shutil.copy(train / "cat/02.png", train / "dog/other.png")
    findings = audit(paint.root, quick=quick)
    assert kinds(findings) == {"duplicate": 1, "leak": 1, "two-labels": 1} and findings.has_errors
    [leak], [two], [same] = (findings.of(kind) for kind in ("leak", "two-labels", "duplicate"))
    assert leak.files == ("train/cat/01.png", "test/cat/leak.png")
    assert leak.sentence == "1 picture of test is in train too."
    assert two.files == ("train/cat/02.png", "train/dog/other.png") and two.items[0].note == "cat and dog"
    assert same.files == ("train/cat/00.png", "train/cat/copy.png")


def test_equal_pixels_in_different_files_are_exact_duplicates(paint):
    """Packing a PNG again, or turning it with EXIF, changes the file and not the picture."""
    paint.classes()
    source = paint.root / "cat/00.png"
    resave(source, paint.root / "cat/packed.png", compress_level=0)
    exif = Image.Exif()
    exif[0x0112] = 3
    turned = np.asarray(Image.open(paint.root / "dog/00.png"))[::-1, ::-1]
    Image.fromarray(turned).save(paint.root / "dog/turned.png", exif=exif)
    findings = audit(paint.root)
    assert kinds(findings) == {"duplicate": 2}
    assert {item.note for item in findings.of("duplicate")[0].items} == {"equal pixels in different files"}
    assert kinds(audit(paint.root, quick=True)) == {}


CHANGES = {
    "jpeg": (".jpg", lambda image: image, {"quality": 75}),
    "half": (".png", lambda image: image.resize((24, 24), Image.Resampling.LANCZOS), {}),
    "mirror": (".png", lambda image: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT), {}),
    "mirror-jpeg": (".jpg", lambda image: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT), {"quality": 75}),
    "webp": (".webp", lambda image: image, {"quality": 80}),
    "grey": (".png", lambda image: image.convert("L"), {}),
    "double": (".png", lambda image: image.resize((96, 96), Image.Resampling.BICUBIC), {}),
}


@pytest.mark.parametrize("change", CHANGES)
def test_near_copies_are_found_within_across_and_under_two_labels(paint, change):
    """The same three findings as for exact copies, for each usual way to alter a picture."""
    paint.classes("train")
    paint.classes("test", first=100)
    ending, alter, options = CHANGES[change]
    train, test = paint.root / "train", paint.root / "test"
    resave(train / "cat/00.png", train / f"cat/copy{ending}", alter, **options)
    resave(train / "cat/01.png", test / f"cat/leak{ending}", alter, **options)
    resave(train / "cat/02.png", train / f"dog/other{ending}", alter, **options)
    findings = audit(paint.root)
    found = kinds(findings)
    found.pop("grey", None)
    assert found == {"near-duplicate": 1, "near-leak": 1, "near-two-labels": 1}
    assert findings.of("near-leak")[0].files == ("train/cat/01.png", f"test/cat/leak{ending}")
    assert ("mirror" in change) == ("mirrored" in findings.of("near-duplicate")[0].items[0].note)


def test_a_copy_of_a_copy_counts_for_all(paint):
    """A leak through an exact copy: the test picture is near one train picture, and that equals another."""
    paint.classes("train")
    paint.classes("test", first=100)
    shutil.copy(paint.root / "train/cat/00.png", paint.root / "train/cat/again.png")
    resave(paint.root / "train/cat/00.png", paint.root / "test/cat/leak.jpg", quality=75)
    assert kinds(audit(paint.root)) == {"duplicate": 1, "near-leak": 1}


def test_colour_and_one_spot_keep_pictures_apart(paint):
    """A green apple is no copy of a red one, and a changed spot is a changed picture, however alike the rest."""
    paint.classes()
    red = np.asarray(Image.open(paint.root / "cat/00.png"))
    paint("cat/green.png", np.ascontiguousarray(red[..., [1, 0, 2]]))
    spot = np.asarray(Image.open(paint.root / "cat/01.png")).copy()
    spot[20:26, 20:26] = 255 - spot[20:26, 20:26]
    spot[20:26, 20:26] = np.where(spot[20:26, 20:26] > 127, 255, 0)
    paint("cat/spot.png", spot)
    assert kinds(audit(paint.root)) == {}


def test_flat_pictures_are_reported_and_not_called_near_copies(paint):
    """All flat pictures have the same structure, none; they say nothing about each other."""
    paint.classes()
    for i, value in enumerate((10, 60, 200)):
        paint(f"cat/flat{i}.png", np.full((48, 48, 3), value, np.uint8))
    assert kinds(audit(paint.root)) == {"blank": 3, "grey": 3}
