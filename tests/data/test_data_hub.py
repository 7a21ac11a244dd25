"""Data sets of Hugging Face that lie on disk: saved, Parquet, Arrow. No hub is asked."""

import inspect
import io
import json

import numpy as np
import pytest
import torch
from huggingface_hub import constants
from PIL import Image as PillowImage

from strop.audit import audit
from strop.data import open_again, open_data, open_source
from strop.data.load import pictures
from strop.errors import UserError

datasets = pytest.importorskip("datasets")


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("STROP_CACHE", str(tmp_path / "cache"))


def picture(seed: int, format: str = "PNG") -> bytes:
    file = io.BytesIO()
    PillowImage.fromarray(np.random.default_rng(seed).integers(0, 256, (12, 12, 3), dtype=np.uint8)).save(file, format)
    return file.getvalue()


def table(n: int = 8, start: int = 0, *, names=("cat", "dog"), **columns):
    """n pictures of the classes in turn."""
    rows = {"image": [{"bytes": picture(start + i), "path": None} for i in range(n)]}
    rows["label"] = [i % len(names) for i in range(n)]
    features = {"image": datasets.Image(), "label": datasets.ClassLabel(names=list(names))}
    for name, (values, kind) in columns.items():
        rows[name], features[name] = values, kind
    return datasets.Dataset.from_dict(rows, features=datasets.Features(features))


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    root = tmp_path_factory.mktemp("hub")
    splits = {"train": table(8), "validation": table(4, 8), "test": table(4, 12)}
    datasets.DatasetDict(splits).save_to_disk(root / "pets", num_shards={"train": 3, "validation": 1, "test": 1})
    for split, one in splits.items():
        one.to_parquet(root / f"parquet/data/{split}-00000-of-00001.parquet")
    return root


def test_a_saved_set_is_a_source(saved):
    source = open_source(f"hf:{saved / 'pets'}")
    assert (source.name, source.classes, [*source.splits]) == ("pets", ("cat", "dog"), ["train", "val", "test"])
    train = source.splits["train"]
    assert train.labels.tolist() == [0, 1] * 4 and train.names[7] == "train/00000007"
    for i in range(8):  # over three files, so three chunks
        assert train.open(i).read() == picture(i)
    assert np.array_equal(train.pixels(5), np.asarray(PillowImage.open(io.BytesIO(picture(5)))))
    taken = train.take(np.array([6, 1]), np.array([0, 1]))
    assert taken.open(0).read() == picture(6) and list(taken.names) == ["train/00000006", "train/00000001"]


@pytest.mark.parametrize("place", ["parquet", "parquet/data", "pets", "pets/train/data-00000-of-00003.arrow"])
def test_files_give_the_same_bytes_as_the_saved_set(saved, place):
    train = open_source(f"hf:{saved / place}").splits["train"]
    assert [train.open(i).read() for i in range(3)] == [picture(i) for i in range(3)]


def test_the_whole_way_of_the_data(saved):
    """Divided, loaded from each store, described and opened again as it was."""
    data = open_data(f"hf:{saved / 'parquet/data/train-00000-of-00001.parquet'}", validation="50%", test="25%")
    assert [len(data.splits[split]) for split in ("train", "val", "test")] == [2, 4, 2]
    made = [pictures(data, "train", size=12, channels=3, source=kind) for kind in ("memory", "cache", "stream")]
    expected = np.stack([data.pixels("train", i).transpose(2, 0, 1) for i in range(2)])
    assert all(torch.equal(one.batch(torch.arange(2)), torch.from_numpy(expected)) for one in made)
    again = open_again(json.loads(json.dumps(data.describe())))
    assert again.fingerprint == data.fingerprint and again.splits == data.splits


def test_an_audit_looks_at_the_rows(saved, tmp_path):
    bad = table(8, 20)
    rows = bad.to_dict()
    rows["image"][3]["bytes"], rows["image"][4]["bytes"] = b"hello", rows["image"][2]["bytes"]
    datasets.Dataset.from_dict(rows, features=bad.features).save_to_disk(tmp_path / "bad")
    told = {finding.kind: finding.files for finding in audit(f"hf:{tmp_path / 'bad'}").found}
    assert told["not-a-picture"] == ("train/00000003",)
    assert told["duplicate"] == ("train/00000002", "train/00000004")


def test_a_row_without_a_picture_is_named_when_it_is_due(tmp_path):
    rows = table(8).to_dict()
    rows["image"][3] = None
    datasets.Dataset.from_dict(rows, features=table(2).features).save_to_disk(tmp_path / "gap")
    source = open_source(f"hf:{tmp_path / 'gap'}")
    with pytest.raises(UserError, match=r"gap, train/00000003: can't be read: the row holds no picture"):
        source.splits["train"].pixels(3)
    assert source.splits["train"].open(4).read() == picture(4)


def save(one, folder) -> str:
    one.save_to_disk(folder)
    return f"hf:{folder}"


def test_columns_are_found_or_can_be_named(tmp_path):
    """As in CIFAR-100, whose classes stand in two columns, under pictures called img."""
    fine = ([0, 1, 2, 3] * 2, datasets.ClassLabel(names=list("wxyz")))
    coarse = ([0, 1] * 4, datasets.ClassLabel(names=["low", "high"]))
    place = save(
        table(fine_label=fine, coarse_label=coarse).remove_columns("label").rename_column("image", "img"), tmp_path
    )
    with pytest.raises(
        UserError, match=rf"several columns hold classes: 'fine_label', 'coarse_label'\. Name one: {place}\?label="
    ):
        open_source(place)
    assert open_source(f"{place}?label=coarse_label").classes == ("low", "high")
    source = open_source(f"{place}?label=fine_label&image=img")
    assert source.classes == tuple("wxyz") and open_source(source.location).classes == source.classes
    for query, words in [
        ("label=fin_label", r"there is no column 'fin_label'\. Did you mean 'fine_label'\?"),
        ("lable=fine_label", r"'lable' is not an option\. Did you mean 'label'\?"),
        ("fine_label", r"'fine_label' is not an option\. Did you mean 'label'\? Known: image, label"),
        ("label=img", r"column 'img' is of type .*, no text or whole number"),
        ("label=fine_label&image=coarse_label", r"column 'coarse_label' is of type int64, which holds no pictures"),
    ]:
        with pytest.raises(UserError, match=words):
            open_source(f"{place}?{query}")


def test_labels_may_be_texts_or_numbers(tmp_path):
    texts = (["b", "a", " b", "käse"] * 2, datasets.Value("string"))
    place = save(table(words=texts).rename_column("label", "other"), tmp_path / "a")
    assert open_source(f"{place}?label=words").classes == ("a", "b", "käse")
    numbers = ([10, 2] * 4, datasets.Value("int32"))
    place = save(table(n=8).remove_columns("label").add_column("label", numbers[0]), tmp_path / "b")
    source = open_source(place)
    assert source.classes == ("2", "10") and source.splits["train"].labels.tolist() == [1, 0] * 4


def test_splits_are_mapped_by_name_and_the_others_are_said(tmp_path, caplog):
    """A test split without labels (-1, as in competitions) can't be measured on, so it is left out, in words."""
    hidden = datasets.Dataset.from_dict(table(4, 9).to_dict() | {"label": [-1] * 4}, features=table(2).features)
    splits = {"train": table(8), "valid": table(4, 8), "extra": table(2, 20), "test": hidden}
    datasets.DatasetDict(splits).save_to_disk(tmp_path / "d")
    source = open_source(f"hf:{tmp_path / 'd'}")
    assert [*source.splits] == ["train", "val"]
    assert "split 'extra' is passed over" in caplog.text and "test: without labels, passed over" in caplog.text
    with pytest.raises(UserError, match=r"has no pictures in train\. Its splits: test\."):
        datasets.DatasetDict({"test": table(4)}).save_to_disk(tmp_path / "e")
        open_source(f"hf:{tmp_path / 'e'}")


@pytest.mark.parametrize(
    "change, words",
    [
        (
            lambda t: t.remove_columns("image"),
            r"no column holds pictures\. Its columns: 'label'\. Name one: hf:.*\?image=",
        ),
        (lambda t: t.remove_columns("label"), r"no column holds classes\. Its columns: 'image'"),
        (lambda t: t.select([0, 2, 4]), r"there is only one class, 'cat'"),
    ],
)
def test_what_is_lacking_is_said(tmp_path, change, words):
    with pytest.raises(UserError, match=words):
        open_source(save(change(table()), tmp_path / "x"))


def test_some_rows_without_a_label_and_classes_beyond_train(tmp_path, caplog):
    rows = table(8).to_dict()
    gap = datasets.Dataset.from_dict(rows | {"label": [0, 1, -1, 1] * 2}, features=table(2).features)
    with pytest.raises(UserError, match=r"row 2 has no label in column 'label' \(2 such rows\)"):
        open_source(save(gap, tmp_path / "gap"))
    more = table(8, names=("cat", "dog", "eel")).filter(lambda row: row["label"] < 2)
    assert open_source(save(more, tmp_path / "more")).classes == ("cat", "dog")
    assert "column 'label': no training picture of eel; left out" in caplog.text


def test_only_paths_are_no_pictures(tmp_path):
    """A set that says where pictures lie must not lead strop to files outside of it."""
    rows = {"image": [{"bytes": None, "path": "/etc/passwd"}] * 2, "label": [0, 1]}
    path = tmp_path / "train.parquet"
    import pyarrow as arrow
    from pyarrow import parquet

    kind = arrow.struct([("bytes", arrow.binary()), ("path", arrow.string())])
    parquet.write_table(arrow.table({"image": arrow.array(rows["image"], kind), "label": [0, 1]}), path)
    with pytest.raises(UserError, match=r"column 'image' says only where pictures lie and does not hold them"):
        open_source(f"hf:{path}")


def test_parquet_of_other_makers_needs_no_features(tmp_path):
    """Plain binary and text columns, as any tool writes them."""
    import pyarrow as arrow
    from pyarrow import parquet

    columns = {"picture": arrow.array([picture(i) for i in range(4)], arrow.binary()), "class": ["a", "b"] * 2}
    parquet.write_table(arrow.table(columns), tmp_path / "train.parquet")
    source = open_source(f"hf:{tmp_path / 'train.parquet'}")
    assert source.classes == ("a", "b") and source.splits["train"].open(3).read() == picture(3)


def test_nothing_of_a_set_is_run_or_leads_out_of_its_folder(tmp_path):
    """No loading script is looked for, and the list of files in state.json stays in its folder."""
    assert "trust_remote_code" not in inspect.signature(datasets.load_dataset).parameters
    place = tmp_path / "set"
    save(table(), place)
    (place / "set.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    assert len(open_source(f"hf:{place}").splits["train"]) == 8 and not (tmp_path / "ran").exists()
    state = json.loads((place / "state.json").read_text())
    (place / "data-00000-of-00001.arrow").rename(tmp_path / "outside.arrow")
    state["_data_files"] = [{"filename": "../outside.arrow"}]
    (place / "state.json").write_text(json.dumps(state))
    with pytest.raises(UserError, match=r"state\.json: '\.\./outside\.arrow' is no name of a file in its folder"):
        open_source(f"hf:{place}")
    (tmp_path / "script").mkdir()
    (tmp_path / "script/script.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    with pytest.raises(UserError, match=r"holds no such set\. Give a folder of save_to_disk"):
        open_source(f"hf:{tmp_path / 'script'}")
    assert not (tmp_path / "ran").exists()


def test_damaged_files_and_wrong_names_say_what_they_are(tmp_path, monkeypatch):
    (tmp_path / "train.parquet").write_bytes(b"PAR1 and nothing more")
    with pytest.raises(
        UserError, match=r"train\.parquet: can't be loaded \(.*\)\. Check the name, the network, or the files"
    ):
        open_source(f"hf:{tmp_path / 'train.parquet'}")
    place = tmp_path / "cut"
    save(table(), place)
    arrow = place / "data-00000-of-00001.arrow"
    arrow.write_bytes(arrow.read_bytes()[:400])
    with pytest.raises(UserError, match="can't be loaded"):
        open_source(f"hf:{place}")
    with pytest.raises(UserError, match=r"'/nowhere/at all' is no path that is there, and no name of the hub"):
        open_source("hf:/nowhere/at all")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)  # the hub is not called first
    monkeypatch.setattr(datasets, "load_dataset", lambda *words: (_ for _ in ()).throw(ConnectionError("no\n network")))
    with pytest.raises(UserError, match=r"hf:beans: can't be loaded \(no network\)\. Check the name"):
        open_source("hf:beans")


def test_the_hub_is_asked_for_name_and_config(monkeypatch):
    """No hub can be reached in tests: what it would give is put in its place."""
    asked = []

    def load(name, config):
        asked.append((name, config))
        return datasets.DatasetDict({"train": table(8), "test": table(4, 8)})

    monkeypatch.setattr(datasets, "load_dataset", load)
    source = open_source("hf:owner/pets:small")
    assert asked == [("owner/pets", "small")] and source.location == "hf:owner/pets:small"
    assert source.name == "owner/pets" and len(source.splits["test"]) == 4
    open_source("hf:beans")
    assert asked[-1] == ("beans", None)


def test_without_the_package_the_message_says_what_to_install(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(UserError, match=r"needs the package datasets\. Install it: pip install 'strop\[hf\]'"):
        open_source("hf:beans")


def test_a_version_that_runs_scripts_is_refused(monkeypatch, saved):
    monkeypatch.setattr(datasets, "__version__", "3.6.0")
    with pytest.raises(UserError, match=r"datasets 3\.6\.0 may run code of a set\. Install 4\.0 or later\."):
        open_source(f"hf:{saved / 'pets'}")


def test_a_saved_set_given_as_a_folder_gets_a_hint(saved):
    for place in ("pets", "parquet/data"):
        with pytest.raises(UserError, match=rf"A saved set of Hugging Face's is read with hf:{saved / place}"):
            open_source(str(saved / place))
