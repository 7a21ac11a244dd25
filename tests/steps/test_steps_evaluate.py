"""strop evaluate: columns side by side, both weights, and what is shown of them."""

import shutil

import pyarrow.parquet as pq
import pytest

from strop.runs import Run
from strop.steps.temperature import temperature_of


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory, trained, strop_in):
    """runs/small on test, with its export, and what the commands said; nothing that other tests made or looked at."""
    folder = tmp_path_factory.mktemp("evaluated")
    for name in ("small", "small-export"):
        shutil.copytree(trained / "runs" / name, folder / "runs" / name)
    said = [strop_in(folder, "evaluate", f"runs/{name}", "--split", "test") for name in ("small", "small-export")]
    assert [outcome.code for outcome in said] == [0, 0], [outcome.err for outcome in said]
    return folder / "runs", said


def columns(read, folder):
    measured = read(folder, "result.json")["measured"]
    return {(entry["split"], entry["checkpoint"]): entry for entry in measured}, measured


def test_all_splits_and_both_weights(evaluated, read):
    """The asked split first; best and last of each; the best on validation is what training itself measured."""
    found, measured = columns(read, evaluated[0] / "small-on-test")
    assert list(found) == [(split, c) for split in ("test", "val", "train") for c in ("best", "last")]
    assert [entry["n"] for entry in measured] == [60, 60, 48, 48, 192, 192]
    for checkpoint, before in zip(
        ("best", "last"), read(evaluated[0] / "small", "result.json")["measured"], strict=True
    ):
        entry = found["val", checkpoint]
        for name in ("hash", "file", "accuracy", "accuracy_interval", "pictures", "bootstrap"):
            assert entry[name] == before[name], name
        for name in ("loss", "temperature"):
            assert entry[name] == pytest.approx(before[name], rel=1e-4), name
        assert entry["intervals"]["macro_f1"] == pytest.approx(before["intervals"]["macro_f1"])
    for split in ("test", "train"):
        assert found[split, "best"]["temperature"] == found["val", "best"]["temperature"]
        assert found[split, "last"]["temperature"] == found["val", "last"]["temperature"]
    assert [entry.get("looks") for entry in measured] == [1, 1, None, None, None, None]
    assert temperature_of(Run(evaluated[0] / "small")) == found["val", "best"]["temperature"]


def test_the_exported_file_agrees(evaluated, read):
    """One column a split; its accuracy and, of log-probabilities, its temperature are those of the network."""
    network, _ = columns(read, evaluated[0] / "small-on-test")
    found, _ = columns(read, evaluated[0] / "small-export-on-test")
    assert list(found) == [("test", None), ("val", None), ("train", None)]
    for split in ("test", "val", "train"):
        assert found[split, None]["accuracy"] == pytest.approx(network[split, "best"]["accuracy"], abs=0.02)
    assert found["val", None]["temperature"] == pytest.approx(network["val", "best"]["temperature"], rel=0.02)
    in_file = read(evaluated[0] / "small-export", "evidence.json")["preprocess"]["temperature"]
    assert {entry["file_temperature"] for entry in found.values()} == {in_file}
    assert not any("file_temperature" in entry for entry in network.values())


def test_what_is_shown(evaluated):
    """The table stands below the first lines and fits a terminal."""
    for outcome in evaluated[1]:
        assert "overfit gap, train - test:" in outcome.out and max(map(len, outcome.out.splitlines())) <= 80


def test_predictions_of_each_split(evaluated, read):
    """Each entry of the best weights names its file, whose rows give its accuracy again."""
    folder = evaluated[0] / "small-on-test"
    for (split, checkpoint), entry in columns(read, folder)[0].items():
        if checkpoint == "last":
            assert "predictions" not in entry
            continue
        assert entry["predictions"] == {"test": "predictions.parquet"}.get(split, f"predictions-{split}.parquet")
        rows = pq.read_table(folder / entry["predictions"]).to_pydict()
        right = sum(map(str.__eq__, rows["true"], rows["predicted"]))
        assert right / len(rows["true"]) == entry["accuracy"]


def test_some_training_pictures(evaluated, strop_in, read):
    """--train-pictures: so many, named as a part; 0 leaves the column out; without test no look is counted."""
    root = evaluated[0].parent
    for count, expected in (("20", [(48, None), (48, None), (20, 192), (20, 192)]), ("0", [(48, None), (48, None)])):
        assert strop_in(root, "evaluate", "runs/small", "--train-pictures", count, "--out", f"some-{count}").code == 0
        _, measured = columns(read, root / f"some-{count}")
        assert [(entry["n"], entry.get("of")) for entry in measured] == expected
        assert all("looks" not in entry for entry in measured)


def test_abstaining_and_copies(evaluated, read):
    """On test thresholds come from val, on val from its other half; no exact copies here; not for the last."""
    for name in ("small-on-test", "small-export-on-test"):
        found, _ = columns(read, evaluated[0] / name)
        for (split, checkpoint), entry in found.items():
            if split == "train" or checkpoint == "last":
                assert not entry.keys() & {"abstaining", "without_copies"}
                continue
            assert entry["abstaining"]["chosen_on"] == {"test": "val", "val": "other half of val"}[split]
            assert entry["abstaining"]["thresholds"][0]["accuracy"] == entry["accuracy"]
            assert {row["n"] for row in entry["abstaining"]["conformal"]} == {entry["n"]}
            if split == "val":
                assert "without_copies" not in entry
                continue
            left = entry["without_copies"]
            assert left["n"] == entry["n"] - left["exact"] - left["near"] and left["exact"] == 0
    assert (evaluated[0] / "small-on-test" / "reliability.png").stat().st_size > 10_000


def test_outliers(evaluated, strop_in, read, tmp_path):
    """Noise is told from the shapes; the energy only where there are logits; a missing folder before the work."""
    import numpy as np
    from PIL import Image

    random, root = np.random.default_rng(0), evaluated[0].parent
    for kind in "ab":
        (tmp_path / "train" / kind).mkdir(parents=True)
        for number in range(10):
            pixels = random.integers(0, 256, (24, 24), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "train" / kind / f"{number}.png")
    for name, scores in (("small", ["max softmax", "energy"]), ("small-export", ["max softmax"])):
        outcome = strop_in(root, "evaluate", f"runs/{name}", "--ood", tmp_path, "--out", f"ood-{name}")
        assert outcome.code == 0 and "AUROC" in outcome.out and max(map(len, outcome.out.splitlines())) <= 80
        found = read(root / f"ood-{name}", "result.json")["outliers"]
        assert [row["score"] for row in found["scores"]] == scores
        assert (found["n"], found["n_outliers"], found["split"]) == (48, 20, "val")
    outcome = strop_in(root, "evaluate", "runs/small", "--ood", "nowhere", "--out", "none")
    assert outcome.code == 2 and not (root / "none").exists()


def test_on_demand(evaluated, strop_in, read):
    """Corruptions, flips and sizes of a run; a size that the network does not take is said, not fatal."""
    root = evaluated[0].parent
    words = ("--corrupt", "--flips", "--sizes", "24,32")
    outcome = strop_in(root, "evaluate", "runs/small", *words, "--out", "asked")
    assert outcome.code == 0 and max(map(len, outcome.out.splitlines())) <= 80, outcome.err
    result = read(root / "asked", "result.json")
    plain, found = result["measured"][0]["accuracy"], result["robustness"]
    assert found["accuracy"] == plain and len(found["corruptions"]) == 75 and len(found["flips"]) == 3
    assert found["mean_corruption_error"] == 1 - found["corrupted_accuracy"] and found["strengths"] == "CIFAR-10-C"
    assert [row["size"] for row in found["sizes"]] == [24, 32] and found["sizes"][0]["accuracy"] == plain
    assert found["sizes"][1]["accuracy"] is not None or "does not take" in found["sizes"][1]["note"]
    assert (root / "asked" / "robustness.png").is_file()


def test_explained(evaluated, strop_in, read, picture, tmp_path):
    """Three of 16 pictures lie in a wrong folder: they are the errors, the doubts and the confused pairs."""
    from PIL import Image

    kinds = ("columns", "disc", "rows", "slope")
    for split in ("train", "test"):
        for kind in kinds:
            (tmp_path / "other" / split / kind).mkdir(parents=True)
            for number in range(4):
                drawn = "disc" if split == "test" and kind != "disc" and number == 0 else kind
                pixels = picture(drawn, seed=100 + 10 * number + kinds.index(kind))
                Image.fromarray(pixels).save(tmp_path / "other" / split / kind / f"{number}.png")
    root = evaluated[0].parent
    words = (tmp_path / "other", "--split", "test", "--explain")
    assert strop_in(root, "evaluate", "runs/small", *words, "--out", "explained").code == 0
    result = read(root / "explained", "result.json")
    found, scores = result["explained"], result["measured"][0]
    assert len(found["errors"]) == round(16 * (1 - scores["accuracy"])) >= 3
    planted = {f"test/{kind}/0.png" for kind in kinds if kind != "disc"}
    assert planted <= {row["name"] for row in found["errors"]} and planted <= {row["name"] for row in found["doubts"]}
    assert all(row["likely"] == "disc" for row in found["doubts"] if row["name"] in planted)
    assert sum(pair["n"] for pair in found["confused"]) == len(found["errors"])
    assert found["cam"] == {"method": "Grad-CAM", "layer": "features.2.0"}
    assert all((root / "explained" / name).stat().st_size > 5_000 for name in ("errors.png", "doubts.png", "cam.png"))
    assert strop_in(root, "evaluate", "runs/small-export", *words, "--out", "explained-file").code == 0
    assert read(root / "explained-file", "result.json")["explained"]["cam"]["method"] is None
    assert not (root / "explained-file" / "cam.png").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("runs/small", "--sizes", "12,a"), "--sizes: '12,a' are no sizes"),
        (("runs/small-export", "--sizes", "32"), "a file for one size"),
    ],
)
def test_sizes_that_can_not_be(evaluated, strop_in, words, said):
    """Refused before anything is written."""
    outcome = strop_in(evaluated[0].parent, "evaluate", *words, "--out", "refused")
    assert outcome.code == 2 and said in outcome.err and not (evaluated[0].parent / "refused").exists()
