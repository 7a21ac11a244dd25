"""Each named set, from small files in its real format, and what is said where they are missing or wrong."""

import gzip
import io
import json
import subprocess
import sys
import tarfile

import numpy as np
import pytest
import torchvision
from PIL import Image
from scipy.io import savemat

from strop.data import open_data, open_source
from strop.data.idx import IDX_FILES, write_idx
from strop.data.sets import cifar10, cifar100, flowers, sets
from strop.errors import UserError

random = np.random.default_rng(0)


@pytest.fixture
def home(tmp_path, monkeypatch):
    """An empty $STROP_DATA, and nothing to be found in ./data."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STROP_DATA", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


def paint(path, value=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    colour = tuple(random.integers(0, 256, 3).tolist()) if value is None else (value,) * 3
    Image.new("RGB", (6, 5), colour).save(path, quality=95)


def binary(n, label_bytes, classes):
    """Records of CIFAR's binary version, and the pictures and labels that are in them."""
    labels = np.arange(n) % classes
    pictures = random.integers(0, 256, (n, 32, 32, 3), np.uint8)
    coarse = np.full((n, label_bytes - 1), 19)
    planes = pictures.transpose(0, 3, 1, 2).reshape(n, -1)
    return np.concatenate([coarse, labels[:, None], planes], axis=1).astype(np.uint8).tobytes(), pictures, labels


def write_binary(folder, cifar, n=12):
    folder.mkdir(parents=True)
    made = {}
    for name in cifar.files():
        data, *made[name] = binary(n, cifar.label_bytes, len(cifar.classes))
        (folder / f"{name}.bin").write_bytes(data)
    return made


CIFARS = {"cifar10": cifar10.CIFAR10, "cifar100": cifar100.CIFAR100}


@pytest.mark.parametrize("name", CIFARS)
@pytest.mark.parametrize("place", ["home/{name}", "home/{layout}", "data/{layout}"])
def test_cifar_binary(home, name, place):
    """Red, green and blue planes become pictures; the last label byte counts."""
    cifar = CIFARS[name]
    made = write_binary(home.parent / place.format(name=name, layout=cifar.binary), cifar)
    source = open_source(name)
    assert len(source.classes) == len(set(source.classes)) == int(name[5:]) and source.location is None
    train = source.splits["train"]
    pictures, labels = (np.concatenate([made[part][i] for part in cifar.train]) for i in (0, 1))
    assert np.array_equal(train.images, pictures) and np.array_equal(train.labels, labels)
    assert np.array_equal(source.splits["test"].images, made[cifar.test][0])


@pytest.mark.parametrize("name", CIFARS)
def test_cifar_archive_is_read_in_place(home, name):
    """The archive as it is downloaded does, and what else is in it is not unpacked."""
    cifar = CIFARS[name]
    made = write_binary(home.parent / "made", cifar)
    (home / name).mkdir()
    with tarfile.open(home / name / cifar.archive, "w:gz") as archive:
        for part in cifar.files():
            archive.add(home.parent / "made" / f"{part}.bin", f"{cifar.binary}/{part}.bin")
        evil = tarfile.TarInfo("../../evil")
        archive.addfile(evil, io.BytesIO())
    source = open_source(name)
    assert np.array_equal(source.splits["test"].images, made[cifar.test][0])
    assert [path.name for path in (home / name).iterdir()] == [cifar.archive]
    whole = (home / name / cifar.archive).read_bytes()
    (home / name / cifar.archive).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match=f"{cifar.archive}: (can't be read|.* is not in it)"):
        open_source(name)


def test_damaged_cifar_files_are_named(home):
    """A size that is no multiple of a record, and a label beyond the classes."""
    write_binary(home / "cifar10", CIFARS["cifar10"])
    file = home / "cifar10" / "data_batch_2.bin"
    whole = file.read_bytes()
    file.write_bytes(whole[:-1])
    with pytest.raises(UserError, match="data_batch_2.bin: has .* no multiple of 3073"):
        open_source("cifar10")
    file.write_bytes(b"\x0a" + whole[1:])
    with pytest.raises(UserError, match="label 10 is out of range; there are 10 classes"):
        open_source("cifar10")


def test_mnist(home):
    """The four idx files, gzipped or not, under torchvision's layout."""
    folder = home / "MNIST" / "raw"
    folder.mkdir(parents=True)
    for images, labels in IDX_FILES.values():
        write_idx(folder / f"{images}.gz", np.full((3, 28, 28), 7, np.uint8))
        write_idx(folder / f"{labels}.gz", np.array([9, 0, 4], np.uint8))
    (folder / "train-labels-idx1-ubyte").write_bytes(
        gzip.decompress((folder / "train-labels-idx1-ubyte.gz").read_bytes())
    )
    source = open_source("mnist")
    assert source.classes[9] == "9" and source.splits["train"].labels.tolist() == [9, 0, 4]
    assert source.splits["test"].pixels(0).shape == (28, 28, 1)


def write_svhn(home, labels, n=None):
    pictures = random.integers(0, 256, (32, 32, 3, len(labels) if n is None else n), np.uint8)
    for split in ("train", "test"):
        savemat(
            home / f"{split}_32x32.mat", {"X": pictures, "y": np.array(labels, np.uint8)[:, None]}, do_compression=True
        )
    return pictures


def test_svhn(home):
    """Label 10 means the digit 0; the last axis counts pictures."""
    pictures = write_svhn(home, [1, 10, 9])
    train = open_source("svhn").splits["train"]
    assert train.labels.tolist() == [1, 0, 9] and np.array_equal(train.pixels(2), pictures[..., 2])
    write_svhn(home, [1, 11])
    with pytest.raises(UserError, match="labels go from 1 to 11; expected 1 to 10"):
        open_source("svhn")
    write_svhn(home, [1, 2], n=3)
    with pytest.raises(UserError, match="not \\(32, 32, 3, N\\) uint8"):
        open_source("svhn")
    (home / "train_32x32.mat").write_bytes(b"no mat file at all" * 20)
    with pytest.raises(UserError, match="can't be read as a MATLAB file"):
        open_source("svhn")
    savemat(home / "train_32x32.mat", {"X": np.zeros((2, 2))})
    with pytest.raises(UserError, match="y is not in it. It holds: X"):
        open_source("svhn")


def test_flowers102(home):
    """Three splits by number; labels count from 1."""
    folder = home / "flowers-102"
    for number in range(1, 7):
        paint(folder / "jpg" / f"image_{number:05d}.jpg", number * 40)
    savemat(folder / "imagelabels.mat", {"labels": np.array([[77, 1, 102, 1, 2, 2]])})
    savemat(folder / "setid.mat", {"trnid": [[2, 1]], "valid": [[3, 4]], "tstid": [[6, 5]]})
    source = open_source("flowers102")
    assert (
        len(source.classes) == 102 and source.classes[0] == "pink primrose" and source.classes[76] == "passion flower"
    )
    assert source.splits["train"].names == ["jpg/image_00001.jpg", "jpg/image_00002.jpg"]
    assert source.splits["train"].labels.tolist() == [76, 0] and source.splits["val"].labels.tolist() == [101, 0]
    assert source.splits["test"].pixels(1)[0, 0, 0] == 240
    savemat(folder / "setid.mat", {"trnid": [[2, 9]], "valid": [[3]], "tstid": [[6]]})
    with pytest.raises(UserError, match="trnid goes from 2 to 9; expected 1 to 6"):
        open_source("flowers102")


def test_flowers102_names_are_torchvisions():
    """The class names, typed by hand, against the list that torchvision ships."""
    from strop.data.sets.flowers102 import CLASSES

    theirs = [name.rstrip("?") for name in torchvision.datasets.Flowers102.classes]
    assert [name.strip() for name in CLASSES.split(";")] == theirs


def test_oxford_iiit_pet(home):
    """The breed is the picture's name without its number; the official lists decide the split."""
    folder = home / "oxford-iiit-pet"
    names = ["Abyssinian_1", "Abyssinian_20", "great_pyrenees_3"]
    for name in names:
        paint(folder / "images" / f"{name}.jpg")
    (folder / "annotations").mkdir()
    (folder / "annotations/trainval.txt").write_text("#Image CLASS-ID\nAbyssinian_1 1 1 1\ngreat_pyrenees_3 2 2 1\n")
    (folder / "annotations/test.txt").write_text("Abyssinian_20 1 1 1\n")
    source = open_source("oxford-iiit-pet")
    assert source.classes == ("abyssinian", "great pyrenees") and source.splits["test"].labels.tolist() == [0]
    assert source.splits["train"].names == ["images/Abyssinian_1.jpg", "images/great_pyrenees_3.jpg"]
    (folder / "annotations/test.txt").write_text("../../../secret 1 1 1\n")
    with pytest.raises(UserError, match="test.txt: '../../../secret' is no name of a picture"):
        open_source("oxford-iiit-pet")
    (folder / "annotations/test.txt").write_text("Birman_4 1 1 1\n")
    with pytest.raises(UserError, match="label 1 is 'abyssinian' and 'birman'"):
        open_source("oxford-iiit-pet")


def test_food101(home):
    """The JSON lists decide; a file that is missing is named and counted."""
    folder = home / "food101"
    for name in ("apple_pie/1", "apple_pie/2", "waffles/3", "waffles/4"):
        paint(folder / "images" / f"{name}.jpg")
    (folder / "meta").mkdir()
    lists = {"train": {"waffles": ["waffles/3"], "apple_pie": ["apple_pie/1"]}, "test": {"waffles": ["waffles/4"]}}
    for split, dishes in lists.items():
        (folder / "meta" / f"{split}.json").write_text(json.dumps(dishes))
    source = open_source("food101")
    assert source.classes == ("apple_pie", "waffles") and source.splits["test"].labels.tolist() == [1]
    (folder / "images/waffles/4.jpg").unlink()
    with pytest.raises(UserError, match="'images/waffles/4.jpg': it is not there"):
        open_source("food101")
    (folder / "meta/test.json").write_text(json.dumps({"waffles": ["../x"]}))
    with pytest.raises(UserError, match="'../x' is no name of a picture"):
        open_source("food101")
    (folder / "meta/test.json").write_text("[" * 100_000)
    with pytest.raises(UserError, match="is not readable as JSON"):
        open_source("food101")


def test_eurosat_gets_a_test_split_on_demand(home):
    """Ten class folders without a split; `test` makes one."""
    from strop.data.sets.eurosat import CLASSES

    for name in CLASSES:
        for i in range(10):
            paint(home / "eurosat" / "2750" / name / f"{name}_{i}.jpg")
    data = open_data("eurosat", test="20%", validation="10%")
    assert data.source.name == "eurosat" and data.source.location is None
    assert [len(data.splits[split]) for split in ("train", "val", "test")] == [70, 10, 20]


def test_stl10(home):
    """Planes are stored column by column; labels count from 1; pixels stay on disk."""
    folder = home / "stl10_binary"
    folder.mkdir()
    pictures = random.integers(0, 256, (3, 96, 96, 3), np.uint8)
    for split in ("train", "test"):
        (folder / f"{split}_X.bin").write_bytes(pictures.transpose(0, 3, 2, 1).tobytes())
        (folder / f"{split}_y.bin").write_bytes(bytes([1, 10, 3]))
    train = open_source("stl10").splits["train"]
    assert train.labels.tolist() == [0, 9, 2] and np.array_equal(train.pixels(1), pictures[1])
    assert train.pixels(1).flags.c_contiguous and isinstance(train.images, np.memmap)
    (folder / "test_y.bin").write_bytes(bytes([1, 2]))
    with pytest.raises(UserError, match="test_X.bin: has 82944 bytes for 2 labels"):
        open_source("stl10")


def test_imagenet_reports_on_val(home):
    """What the world calls val is what numbers are reported on, so it is test here; other folders do not count."""
    for split, n in (("train", 4), ("val", 2)):
        for wnid in ("n01440764", "n01443537"):
            for i in range(n):
                paint(home / "imagenet" / split / wnid / f"{split}_{wnid}_{i}.JPEG")
    paint(home / "imagenet" / "test" / "flat.JPEG")
    source = open_source("imagenet")
    assert source.classes == ("n01440764", "n01443537") and list(source.splits) == ["train", "test"]
    assert len(source.splits["test"]) == 4 and source.splits["test"].names[0].startswith("val/n01440764/")


def test_flowers_counts_are_checked(home, caplog):
    """A folder with other counts is used, with a warning that says both."""
    for name in flowers.COUNTS:
        for i in range(2):
            paint(home / "flower_photos" / name / f"{i}.jpg")
    (home / "flower_photos" / "LICENSE.txt").write_text("...")
    source = open_source("flowers")
    assert source.classes == ("daisy", "dandelion", "roses", "sunflowers", "tulips")
    assert list(flowers.COUNTS.values()) == [633, 898, 641, 699, 799] and sum(flowers.COUNTS.values()) == 3670
    assert "holds {'daisy': 2," in caplog.text and "the published set has {'daisy': 633" in caplog.text


FILES = {
    "mnist": "train-images-idx3-ubyte.gz",
    "cifar10": "cifar-10-binary.tar.gz",
    "cifar100": "cifar-100-binary.tar.gz",
    "svhn": "train_32x32.mat and test_32x32.mat",
    "flowers102": "imagelabels.mat, setid.mat and the folder jpg of 102flowers.tgz",
    "oxford-iiit-pet": "images.tar.gz and annotations.tar.gz",
    "food101": "meta and images of food-101.tar.gz",
    "eurosat": "EuroSAT.zip",
    "stl10": "train_X.bin, train_y.bin, test_X.bin, test_y.bin",
    "imagenet": "train/n01440764/",
    "flowers": "flower_photos.tgz",
}


@pytest.mark.parametrize("name", FILES)
def test_without_network_a_set_says_which_files_to_put_where(home, monkeypatch, name):
    """The message names the files and the folder; nothing is left behind."""

    def refuse(*args, **options):
        raise OSError("no network")

    for module in ("utils", "cifar", "mnist", "svhn", "flowers102", "food101", "eurosat", "oxford_iiit_pet"):
        for function in ("download_url", "download_and_extract_archive"):
            monkeypatch.setattr(f"torchvision.datasets.{module}.{function}", refuse, raising=False)
    with pytest.raises(UserError) as caught:
        open_source(name)
    text = str(caught.value)
    assert FILES[name] in text and f"into {home / name}" in text and "is not on this machine" in text
    assert not [path for path in home.rglob("*") if path.is_file()]


def test_what_is_downloaded_is_found_and_read(home, monkeypatch):
    """CIFAR's binary archive is asked for beside the one torchvision knows, with its md5."""
    asked = []

    def fetch(url, root, md5):
        asked.append((url.rpartition("/")[2], md5))
        write_binary(home / "cifar-10-batches-bin", CIFARS["cifar10"])

    monkeypatch.setattr("torchvision.datasets.utils.download_and_extract_archive", fetch)
    assert len(open_source("cifar10").splits["train"]) == 60
    assert asked == [("cifar-10-binary.tar.gz", "c32a1d4ab5d03f1284b67883e8d87530")]


def test_every_set_is_one_file_that_says_its_name_and_what_it_is():
    """Contract: a summary, and a module named after the set."""
    for name, entry in sets.entries().items():
        assert entry.summary.endswith(".") and entry.file.stem == name.replace("-", "_") and not entry.options
    assert {*FILES, "fashion-mnist", "fashion-mini"} == set(sets.names())


def test_sets_on_disk_open_without_torch(home):
    """Only a download, and CIFAR's files for Python, need torchvision."""
    write_binary(home / "cifar10", CIFARS["cifar10"])
    write_svhn(home, [1, 10, 9])
    code = "import sys; from strop.data import open_source; open_source('cifar10'); open_source('svhn'); "
    subprocess.run([sys.executable, "-c", code + "assert 'torch' not in sys.modules"], check=True)
