"""Planted faults among real pictures: the share that is found, and false alarms on different pictures."""

import shutil

import numpy as np
import pytest
from PIL import Image

from strop.audit import audit
from strop.data.source import open_source

KERNELS = [
    Image.Resampling.BOX,
    Image.Resampling.BILINEAR,
    Image.Resampling.BICUBIC,
    Image.Resampling.LANCZOS,
]


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    """800 + 200 pictures of Fashion-MNIST as PNG; 100 of each kind of copy, each of another picture."""
    root = tmp_path_factory.mktemp("planted") / "fashion"
    source = open_source("fashion-mini")
    rng = np.random.default_rng(0)
    base = []
    for split, count in (("train", 800), ("test", 200)):
        part = source.splits[split]
        for i in rng.choice(len(part), count, replace=False).tolist():
            path = root / split / source.classes[part.labels[i]] / f"{split}{i}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.asarray(part.pixels(i))[..., 0]).save(path)
            base.append(path)
    order = iter(rng.permutation(len(base)).tolist())
    copies: dict[str, list[str]] = {}
    for kind in ("exact", "jpeg", "half", "mirror"):
        for _ in range(100):
            path = base[next(order)]
            across = rng.random() < 0.5
            split = path.parts[-3] if not across else {"train": "test", "test": "train"}[path.parts[-3]]
            target = root / split / path.parts[-2] / f"{path.stem}-{kind}.png"
            _plant(kind, path, target, KERNELS[rng.integers(4)])
            copies.setdefault(kind, []).append(
                next(target.parent.glob(f"{target.stem}.*")).relative_to(root).as_posix()
            )
    return audit(root), copies


def _plant(kind: str, path, target, kernel) -> None:
    picture = Image.open(path)
    if kind == "exact":
        shutil.copy(path, target)
    elif kind == "jpeg":
        picture.save(target.with_suffix(".jpg"), quality=75)
    elif kind == "half":
        picture.resize((14, 14), kernel).save(target)
    else:
        picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(target)


COPIES = ("duplicate", "near-duplicate", "leak", "near-leak")


@pytest.mark.parametrize(("kind", "least"), [("exact", 100), ("jpeg", 95), ("half", 95), ("mirror", 95)])
def test_planted_copies_are_found(planted, kind, least):
    """Every exact duplicate and leak, and at least 95 of 100 re-encoded, halved and mirrored pictures of 28 pixels."""
    findings, copies = planted
    found = {file for finding in findings.found if finding.kind in COPIES for file in finding.files}
    assert len(found & set(copies[kind])) >= least


def test_different_pictures_raise_no_alarm(planted):
    """Among 1,000 pictures of ten kinds of clothes at most one is called a copy of another that it is not."""
    findings, _ = planted
    wrong = {
        tuple(sorted({file.split("/")[-1].split(".")[0].split("-")[0] for file in item.files}))
        for finding in findings.found
        if finding.kind in COPIES + ("two-labels", "near-two-labels")
        for item in finding.items
    }
    assert sum(len(stems) > 1 for stems in wrong) <= 1
