"""Crops of other pictures: what a network's embeddings propose and registration confirms."""

import io
import tarfile
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from strop.audit import audit
from strop.audit.crops import CropJudge, propose_pairs
from strop.cli import main
from strop.steps.embedding import SMALL, make_embed, split_embedding

SHARED = Path(__file__).parents[3] / "shared" / "data"
PHOTOS, WEIGHTS = SHARED / "mini_photos_128.tar.gz", SHARED / "tf_efficientnet_lite0.safetensors"


def paint(random, side=96):
    """A picture like no other: four octaves of coloured noise."""
    octaves = (
        cv2.resize(random.random((2**k, 2**k, 3)), (side, side), interpolation=cv2.INTER_CUBIC) for k in range(2, 6)
    )
    return (255 * np.clip(sum(octaves) / 4 * 2 - 0.5, 0, 1)).astype(np.uint8)


def crop(random, pixels, low=0.1, high=0.3):
    """Cut away a share of the area, at a random place, the proportions changed by a quarter at most."""
    height, width = pixels.shape[:2]
    kept, aspect = 1 - random.uniform(low, high), np.exp(random.uniform(-0.22, 0.22))
    tall, wide = min(height, round(height * (kept * aspect) ** 0.5)), min(width, round(width * (kept / aspect) ** 0.5))
    top, left = random.integers(height - tall + 1), random.integers(width - wide + 1)
    return pixels[top : top + tall, left : left + wide]


@pytest.mark.parametrize("mirrored", [False, True])
def test_a_crop_is_recognised_and_others_are_not(mirrored):
    """10 to 50 % cut away, half of the crops resized, whichever of the two is named first; never another picture."""
    random = np.random.default_rng(0)
    wholes = [paint(random) for _ in range(8)]
    parts = [crop(random, whole, 0.1, 0.5) for whole in wholes]
    parts = [cv2.resize(part, None, fx=0.7, fy=0.7, interpolation=cv2.INTER_AREA) if k % 2 else part
             for k, part in enumerate(parts)]  # fmt: skip
    pictures = wholes + [part[:, ::-1] if mirrored else part for part in parts]
    judge = CropJudge(pictures.__getitem__)
    assert [judge.confirm(k, 8 + k) for k in range(8)] == [mirrored] * 8
    assert [judge.confirm(8 + k, k) for k in range(8)] == [mirrored] * 8
    assert all(judge.confirm(k, 8 + other) is None for k in range(8) for other in range(8) if k != other)


def test_flat_pictures_and_equal_ones():
    """A flat picture is a crop of nothing; a picture is its own."""
    pictures = [np.full((64, 64, 3), 200, np.uint8), paint(np.random.default_rng(3)), np.zeros((40, 40, 1), np.uint8)]
    judge = CropJudge(pictures.__getitem__)
    assert judge.confirm(0, 1) is None and judge.confirm(0, 2) is None and judge.confirm(1, 1) is False


def test_pairs_are_the_nearest_by_cosine():
    """Against all pairs compared one by one."""
    random = np.random.default_rng(0)
    vectors = random.normal(size=(60, 5)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    expected = set()
    for i in range(60):
        order = sorted((k for k in range(60) if k != i), key=lambda k: -float(vectors[i] @ vectors[k]))
        expected |= {(min(i, k), max(i, k)) for k in order[:3] if vectors[i] @ vectors[k] >= 0.5}
    assert {tuple(pair) for pair in propose_pairs(vectors, 3).tolist()} == expected
    assert propose_pairs(vectors[:1]).shape == (0, 2)


@pytest.mark.skipif(not (PHOTOS.is_file() and WEIGHTS.is_file()), reason="the shared photographs are not here")
def test_planted_crops_of_photographs_are_found(tmp_path):
    """Of 24 crops that cut 10 to 30 % away at least 23 are leaks into test; no other picture is called a crop."""
    random, root = np.random.default_rng(0), tmp_path / "photos"
    with tarfile.open(PHOTOS) as archive:
        members = [
            m for m in archive.getmembers() if m.isfile() and m.name.endswith(".jpg") and "/train/" in f"/{m.name}"
        ]
        chosen = random.choice(len(members), 72, replace=False)
        pictures = [
            np.asarray(Image.open(io.BytesIO(archive.extractfile(members[k]).read())).convert("RGB")) for k in chosen
        ]
    for number, pixels in enumerate(pictures):
        for split in ("train", "test")[: 1 + (number < 24)]:
            path = root / split / "ab"[number % 2] / f"{number:02d}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            shown = crop(random, pixels) if split == "test" else pixels
            Image.fromarray(
                np.ascontiguousarray(shown[:, ::-1] if split == "test" and number % 3 == 0 else shown)
            ).save(path, quality=85)
    alone, found = audit(str(root)), audit(str(root), embed=make_embed(str(WEIGHTS)))
    assert sum(finding.count for finding in alone.of("near-leak")) <= 6, "a hash alone misses most of them"
    items = [item for finding in found.of("near-leak") for item in finding.items]
    stems = [{Path(name).stem for name in item.files} for item in items]
    assert sum(len(names) == 1 for names in stems) >= 23 and "cropped" in items[0].note + items[-1].note
    wrong = {file for finding in found.found if finding.kind.startswith("near") for item in finding.items
             for file in item.files if len({Path(name).stem for name in item.files}) > 1}  # fmt: skip
    assert wrong == set()


def test_what_names_a_network_and_what_does_not(tmp_path, monkeypatch, capsys):
    """A name, a file called like its network, NAME=FILE, auto; the rest is refused before anything is read."""
    assert split_embedding("auto") == (SMALL, True) and split_embedding("resnet18") == ("resnet18", True)
    assert split_embedding("w/resnet18.v2.safetensors") == ("resnet18", "w/resnet18.v2.safetensors")
    assert split_embedding("timm:resnet18=w/my.safetensors") == ("timm:resnet18", "w/my.safetensors")
    monkeypatch.chdir(tmp_path)
    assert main(["audit", "fashion-mini", "--embeddings", "resnet81"]) == 2
    said = capsys.readouterr().err
    assert "--embeddings: 'resnet81' is unknown. Did you mean 'resnet18'?" in said and "NETWORK=FILE" in said
    assert main(["audit", "fashion-mini", "--embeddings", "resnet18=none.safetensors"]) == 2
    assert "there is no file 'none.safetensors'" in capsys.readouterr().err
    assert main(["audit", "fashion-mini", "--embeddings", "resnet18", "--quick"]) == 2
    assert "--embeddings: needs the pixels" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
