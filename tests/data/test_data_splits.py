"""Test, validation and folds: what may never stand on two sides does not, and little moves when files come."""

import re
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from strop.data.dataset import open_again, open_data, parse_fold
from strop.data.packed import PackedNames
from strop.data.source import ArraySplit, Source
from strop.data.split import choose_folds, choose_validation
from strop.errors import UserError

pictures = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 3), st.integers(0, 9)), min_size=4, max_size=80)
shares = st.sampled_from([0.05, 0.1, 0.3, 0.6])


def source_of(contents, labels, groups=None, **others) -> Source:
    """One pixel row a picture; equal numbers are copies."""
    numbers = np.array(contents, np.int64)
    images = np.stack([numbers >> shift & 255 for shift in (16, 8, 0)], axis=1).astype(np.uint8)[:, None]
    split = ArraySplit("train", images, np.array(labels))
    if groups is not None:
        split.groups = PackedNames(groups)
    k = max(labels) + 1
    return Source("made", None, tuple("abcdefghij"[:k]), {"train": split, **others})


def sides(data) -> dict[int, set[str]]:
    """For each picture of the source's train, the split it is in."""
    return {i: name for name, members in data.splits.items() for part, i in members if part == "train"}


@settings(max_examples=60, deadline=None)
@given(pictures, shares, shares, st.booleans())
def test_no_content_and_no_group_stands_in_two_splits(rows, test, validation, grouped):
    """For random copies and groups, train, val and test are disjoint, complete, and share no content or group."""
    contents, labels, numbers = zip(*rows, strict=True)
    groups = [f"g{n}" if n else "" for n in numbers] if grouped else None
    data = open_data(source_of(contents, labels, groups), test=test, validation=validation)
    side = sides(data)
    assert len(side) == len(rows) == sum(map(len, data.splits.values()))
    for values in [contents, *([groups] if grouped else [])]:
        seen = {}
        for i, value in enumerate(values):
            assert value == "" or seen.setdefault(value, side[i]) == side[i]


@settings(max_examples=60, deadline=None)
@given(pictures, st.integers(2, 6), st.booleans())
def test_folds_divide_train_exactly(rows, n, grouped):
    """Every picture is in one fold, copies and groups are in the same."""
    contents, labels, numbers = zip(*rows, strict=True)
    groups = [f"g{n}" if n else "" for n in numbers] if grouped else None
    folds = choose_folds([f"{c:032x}" for c in contents], labels, n, groups=groups)
    assert len(folds) == len(rows) and set(folds.tolist()) <= set(range(n))
    for values in [contents, *([groups] if grouped else [])]:
        seen = {}
        for value, fold in zip(values, folds, strict=True):
            assert value == "" or seen.setdefault(value, fold) == fold


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 3), min_size=2, max_size=90), st.integers(2, 7))
def test_folds_are_stratified_to_one_picture(labels, n):
    """Without copies each class has in each fold n pictures or one more; so have all classes together, to one each."""
    folds = choose_folds([f"{i:032x}" for i in range(len(labels))], labels, n)
    for label in set(labels):
        counts = Counter(fold for fold, own in zip(folds.tolist(), labels, strict=True) if own == label)
        sizes = [counts[fold] for fold in range(n)]
        assert max(sizes) - min(sizes) <= 1


def test_the_folds_of_a_set_partition_its_train():
    """1/4 to 4/4 of what the test share leaves: each picture is validation once, test stays the same."""
    parts = [open_data("fashion-mini", fold=f"{k}/4", classes=["bag", "coat"]) for k in (1, 2, 3, 4)]
    out = [set(part.splits["val"]) for part in parts]
    assert sum(map(len, out)) == len(set().union(*out)) == 1000
    assert all(np.bincount(part.labels("val")).tolist() == [125, 125] for part in parts)
    assert parts[1].validation == "fold 2 of 4 of train a class, by content hash, near copies together, seed 0"


def test_test_is_chosen_first_and_by_another_key():
    """The validation share does not touch the test pictures, and the two choices are not nested."""
    source = source_of(range(4000), [i % 2 for i in range(4000)])
    data = open_data(source, test="10%", validation="20%")
    assert {name: len(split) for name, split in data.splits.items()} == {"train": 2880, "val": 720, "test": 400}
    assert data.splits["test"] == open_data(source, test="10%", validation="0%").splits["test"]
    alone = set(open_data(source, validation="10%").splits["val"])
    assert len(alone & set(data.splits["test"])) < 80  # 40 are expected by chance
    assert data.test == "10% of train a class, by content hash, near copies together, seed 0"


def test_a_test_split_of_its_own_is_taken_as_it_is():
    """A share for test is for sets without one."""
    data = open_data("fashion-mini", test="10%")
    assert len(data.splits["test"]) == 1000 and data.test == "the source's own test split"
    assert "names" not in data.describe()["test"]


@pytest.mark.parametrize("purpose, share", [("validation", 0.05), ("validation", 0.2), ("test", 0.1)])
def test_one_percent_more_files_move_less_than_two_in_a_thousand(purpose, share):
    """20,000 pictures of ten classes and 200 new ones, some of them copies: n = 5 seeds, all below 0.2 %."""
    random = np.random.default_rng(0)
    hashes = random.integers(0, 256, (20_200, 16), np.uint8)
    hashes[20_150:] = hashes[:50]
    labels = random.integers(0, 10, 20_200)
    for seed in range(5):
        before = choose_validation(hashes[:20_000], labels[:20_000], share, seed, purpose=purpose)
        after = choose_validation(hashes, labels, share, seed, purpose=purpose)
        assert (before != after[:20_000]).mean() < 0.002


def test_the_written_list_moves_nothing():
    """With the names of before, old pictures stay where they are and copies of held-out ones join them."""
    old = open_data(source_of(range(500), [i % 2 for i in range(500)]), validation="10%", test="10%")
    held = next(i for _, i in old.splits["val"])
    more = source_of([*range(500), held, 900], [*(i % 2 for i in range(500)), held % 2, 0])
    kept = {name: list(old.names(name)) for name in ("val", "test")}
    new = open_data(more, validation="10%", test="10%", kept=kept)
    before, after = sides(old), sides(new)
    assert all(after[i] == side for i, side in before.items())
    assert after[500] == "val" and after[501] == "train"


@pytest.mark.parametrize(
    "options", [{}, {"test": "10%"}, {"fold": "2/5"}, {"classes": ["bag", "coat", "sandal"], "seed": 3}]
)
def test_what_data_json_says_gives_the_same_again(options):
    """Share, seed, test, fold and classes are enough, and so are the keys of an older file."""
    data = open_data("fashion-mini", **options)
    again = open_again(data.describe())
    assert again.splits == data.splits and again.fingerprint == data.fingerprint and again.choice == data.choice
    old = data.describe()
    del old["test"]
    for key in ("test", "fold", "classes"):
        assert key in old["validation"]
    if not options:
        for key in ("test", "fold", "classes"):
            del old["validation"][key]
        assert open_again(old).splits == data.splits


def test_a_group_ranks_by_its_name():
    """Pictures that join a group do not move it, whatever they show."""
    groups = [f"p{i // 4}" for i in range(400)]
    hashes, labels = [f"{i:032x}" for i in range(401)], [0] * 401
    before = choose_validation(hashes[:400], labels[:400], 0.2, groups=groups)
    after = choose_validation(hashes, labels, 0.2, groups=[*groups, "p7"])
    assert before.sum() == 80 and (before != after[:400]).sum() <= 4
    assert after[400] == after[28]


def test_copies_join_groups():
    """A picture of one patient that lies in another's folder too ties the two together."""
    hashes = ["a", "b", "b", "c", *(f"x{i}" for i in range(40))]
    groups = ["p", "p", "q", "q", *([""] * 40)]
    for seed in range(10):
        chosen = choose_validation(hashes, [0] * 44, 0.5, seed, groups=groups)
        assert len(set(chosen[:4].tolist())) == 1


def test_a_fold_that_takes_a_whole_class_is_refused():
    """Folds divide exactly, so a class of copies of one picture would vanish from train."""
    source = source_of([*range(10), 50, 50], [0] * 10 + [1, 1])
    with pytest.raises(UserError, match="no picture of 'b' is left to learn from") as caught:
        for k in (1, 2):
            open_data(source, fold=f"{k}/2")
    assert caught.value.where.startswith("data.fold")


def test_a_fold_beside_a_val_split_is_refused():
    """Which of the two is meant is the user's to say."""
    val = ArraySplit("val", np.zeros((2, 1, 3, 3), np.uint8), np.array([0, 1]))
    with pytest.raises(UserError, match="has a val split of its own"):
        open_data(source_of(range(10), [0, 1] * 5, val=val), fold="1/2")


def test_what_is_written_instead_of_a_val_split_can_be_done(tmp_path):
    """The folder that the message names is a set of its own, whose folds are all of its pictures."""
    for split, n in (("training", 6), ("val", 2)):
        for label in ("a", "b"):
            (tmp_path / split / label).mkdir(parents=True)
            for i in range(n):
                pixels = np.random.default_rng([i, n, label == "a"]).integers(0, 256, (8, 8), dtype=np.uint8)
                Image.fromarray(pixels).save(tmp_path / split / label / f"{i}.png")
    with pytest.raises(UserError) as caught:
        open_data(str(tmp_path), fold="1/2")
    place = re.search(r"Write (\S+) for those alone", str(caught.value))[1]
    folds = [open_data(place, fold=f"{k}/2") for k in (1, 2)]
    held_out = [name for data in folds for name in data.describe()["validation"]["names"]]
    assert len(held_out) == len(set(held_out)) == 12


@pytest.mark.parametrize("text", ["0/5", "6/5", "1/1", "2", "a/b", "", "1/2/3", 0.4, "-1/5"])
def test_other_folds_are_refused(text):
    """The message says what to write."""
    with pytest.raises(UserError, match="is no fold. Write 2/5 for the second of five"):
        parse_fold(text)


def test_a_wrong_test_share_names_the_option():
    """It is not the validation share that is wrong."""
    with pytest.raises(UserError, match="data.test: '10' is no share .* Write 10%"):
        open_data("fashion-mini", test="10")
