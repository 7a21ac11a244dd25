"""Near copies, re-encoded, resized and mirrored ones, never stand on two sides of a split, and little else moves."""

import cv2
import numpy as np
import pytest
from PIL import Image

from strop.data import near
from strop.data.dataset import open_again, open_data
from strop.data.split import choose_folds, choose_validation
from strop.errors import UserError


def paint(random, side=64):
    """A picture like no other: three octaves of coloured noise, (side, side, 3) uint8."""
    layers = [
        cv2.resize(random.random((2**k, 2**k, 3)), (side, side), interpolation=cv2.INTER_CUBIC) for k in (2, 3, 4)
    ]
    mixed = sum(layer / (k + 1) for k, layer in enumerate(layers))
    return (255 * np.clip(mixed / 1.9, 0, 1)).astype(np.uint8)


def copy(pixels, how, path):
    """Write what people's folders hold twice."""
    image = Image.fromarray(pixels)
    if how == "mirrored":
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if how == "smaller":
        image = image.resize((40, 40), Image.Resampling.BICUBIC)
    if how == "larger":
        image = image.resize((96, 96), Image.Resampling.BILINEAR)
    image.save(path.with_suffix(".jpg" if how == "encoded" else ".png"), quality=80)


WAYS = ("exact", "encoded", "smaller", "larger", "mirrored")


def make_folder(root, seed, n=60, copies=30):
    """n pictures in three classes, and copies of some in a random class; gives the picture each name shows."""
    random, shows = np.random.default_rng(seed), {}
    originals = [paint(random) for _ in range(n)]
    for name in "abc":
        (root / name).mkdir(parents=True)
    for number, pixels in enumerate(originals):
        Image.fromarray(pixels).save(root / "abc"[number % 3] / f"{number}.png")
        shows[f"{'abc'[number % 3]}/{number}"] = number
    for number in range(copies):
        of, name = int(random.integers(n)), "abc"[random.integers(3)]
        copy(originals[of], WAYS[random.integers(len(WAYS))], root / name / f"copy{number}")
        shows[f"{name}/copy{number}"] = of
    return shows


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("how", [{"validation": "20%", "test": "20%"}, {"fold": "2/3"}])
def test_no_picture_stands_on_two_sides(tmp_path, seed, how):
    """Random folders with random copies: what one picture shows is on one side, and nobody else's is drawn in."""
    shows = make_folder(tmp_path / "set", seed)
    data = open_data(str(tmp_path / "set"), **how)
    sides = {}
    for split in data.splits:
        for name in data.names(split):
            sides.setdefault(shows[name.rpartition(".")[0]], set()).add(split)
    assert len(sides) == 60 and [picture for picture, where in sides.items() if len(where) > 1] == []
    assert "near copies together" in data.validation and data.choice["near_copies"] is True
    torn = open_data(str(tmp_path / "set"), near_copies="false", **how)
    assert "near copies" not in torn.validation and torn.fingerprint == data.fingerprint


def test_families_are_the_copies_and_no_more(tmp_path):
    """Each family holds the copies of one picture."""
    shows = make_folder(tmp_path / "set", 9)
    data = open_data(str(tmp_path / "set"), validation="0%")
    train = data.source.splits["train"]
    from strop.data.examine import look_at_split

    looks, _ = look_at_split(train, data.hashes["train"])
    families = near.group_near(train, data.hashes["train"], lambda: looks, "set")
    held = {}
    for name, family in zip(train.names, families.tolist(), strict=True):
        if family >= 0:
            held.setdefault(family, set()).add(shows[name.rpartition(".")[0]])
    assert all(len(pictures) == 1 for pictures in held.values())
    several = [picture for picture in set(shows.values()) if list(shows.values()).count(picture) > 1]
    assert sorted(picture for pictures in held.values() for picture in pictures) == sorted(several)


@pytest.mark.parametrize("purpose, share", [("validation", 0.05), ("validation", 0.2), ("test", 0.1)])
def test_one_percent_more_files_with_copies_move_less_than_two_in_a_thousand(purpose, share):
    """20,000 pictures, 400 of them in pairs; of 200 new ones 40 are exact and 40 near copies of old ones. 5 seeds."""
    random = np.random.default_rng(1)
    hashes = random.integers(0, 256, (20_200, 16), np.uint8)
    hashes[20_160:] = hashes[1000:1040]
    labels = random.integers(0, 10, 20_200)
    families = np.full(20_200, -1)
    families[:400] = np.arange(400) // 2
    families[20_120:20_160], families[2000:2040] = np.arange(200, 240), np.arange(200, 240)
    old = families[:20_000].copy()
    old[2000:2040] = -1
    for seed in range(5):
        options = {"purpose": purpose}
        before = choose_validation(hashes[:20_000], labels[:20_000], share, seed, near=old, **options)
        after = choose_validation(hashes, labels, share, seed, near=families, **options)
        assert (before != after[:20_000]).mean() < 0.002
        assert (after[20_120:20_160] == after[2000:2040]).all() and (after[20_160:] == after[1000:1040]).all()


def test_with_the_written_list_nothing_moves_and_copies_join(tmp_path):
    """Old pictures stay; a near copy of a held-out one is held out, one of a training picture is trained on."""
    make_folder(tmp_path / "set", 3, copies=0)
    data = open_data(str(tmp_path / "set"), validation="20%")
    held, trained = data.names("val")[0], data.names("train")[0]
    for name, new in ((held, "a/new-held"), (trained, "b/new-trained")):
        pixels = np.asarray(Image.open(tmp_path / "set" / name))
        copy(pixels, "mirrored", tmp_path / "set" / new)
    more = open_data(str(tmp_path / "set"), validation="20%", kept={"val": list(data.names("val"))})
    assert set(more.names("val")) == {*data.names("val"), "a/new-held.png"}


def test_folds_keep_families_together():
    """Random families, three folds: none is torn, with groups beside them too."""
    random = np.random.default_rng(0)
    hashes, families = random.integers(0, 256, (300, 16), np.uint8), random.integers(-1, 60, 300)
    groups = [f"g{n}" if n else "" for n in random.integers(0, 150, 300)]
    for options in ({}, {"groups": groups}):
        folds = choose_folds(hashes, random.integers(0, 3, 300), 3, near=families, **options)
        for family in range(60):
            assert len(set(folds[families == family].tolist())) <= 1


def test_what_was_found_is_remembered(tmp_path, monkeypatch):
    """The second opening neither decodes nor searches; a new file means a new search."""
    monkeypatch.setattr("strop.data.hashes._RESTLESS_NS", 0)
    monkeypatch.setenv("STROP_CACHE", str(tmp_path / "cache"))
    make_folder(tmp_path / "set", 5)
    first = open_data(str(tmp_path / "set"))
    real = near.find_pairs
    monkeypatch.setattr(near, "find_pairs", lambda *_: pytest.fail("searched again"))
    monkeypatch.setattr("strop.data.look.describe", lambda pixels: pytest.fail("decoded again"))
    assert open_data(str(tmp_path / "set")).splits == first.splits
    assert open_again(first.describe()).describe() == first.describe()
    monkeypatch.undo()
    seen = []
    monkeypatch.setattr(near, "find_pairs", lambda *rest: seen.append(1) or real(*rest))
    Image.fromarray(paint(np.random.default_rng(77))).save(tmp_path / "set" / "a" / "new.png")
    open_data(str(tmp_path / "set"))
    assert seen == [1]


def test_the_bundled_set_has_no_near_copies_in_train():
    """Its validation pictures are those of before near copies were looked for."""
    assert open_data("fashion-mini").splits == open_data("fashion-mini", near_copies=False).splits


def test_where_nothing_is_divided_nothing_is_searched(monkeypatch):
    """A set without a share to take needs no families; auto ends at 100,000 pictures."""
    monkeypatch.setattr(near, "group_near", lambda *_: pytest.fail("searched"))
    assert open_data("fashion-mini", validation="0%").choice["near_copies"] is False
    assert open_data("fashion-mini", near_copies="false").choice["near_copies"] is False
    monkeypatch.setattr("strop.data.dataset._MOST_NEAR", 4999)
    assert open_data("fashion-mini").choice["near_copies"] is False


def test_other_words_are_refused():
    with pytest.raises(UserError, match="data.near_copies: 'maybe' is not an option. Write true, false or auto."):
        open_data("fashion-mini", near_copies="maybe")
