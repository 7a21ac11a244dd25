"""A folder of pictures: what is read, and what a user is told about each mistake."""

import hashlib
import os
import unicodedata

import numpy as np
import pytest
from PIL import Image

from strop.audit.walk import walk_folder
from strop.data.dataset import open_data
from strop.data.source import open_source
from strop.errors import UserError


def paint(root, *names):
    """A small picture at each name; no two alike."""
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        colour = hashlib.blake2b(name.encode(), digest_size=3).digest()
        Image.new("RGB", (4, 3), tuple(colour)).save(path, format="PNG" if path.suffix in (".PNG", "") else None)


def problem(root) -> str:
    with pytest.raises(UserError) as caught:
        open_source(str(root))
    assert str(root) in caught.value.where
    return str(caught.value)


def test_one_folder_a_class(tmp_path):
    paint(tmp_path, "dog/b.png", "cat/a.jpg", "cat/more/deep/c.PNG", "cat/a.webp")
    (tmp_path / "cat" / "notes.txt").write_text("not a picture, and not called like one")
    source = open_source(str(tmp_path))
    train = source.splits["train"]
    assert source.classes == ("cat", "dog") and list(source.splits) == ["train"]
    assert train.names == ["cat/a.jpg", "cat/a.webp", "cat/more/deep/c.PNG", "dog/b.png"]
    assert train.labels.tolist() == [0, 0, 0, 1] and train.labels.dtype == np.int64
    assert train.size(3) == (3, 4) and train.shape(3) == (3, 4, 3) == train.pixels(3).shape
    assert source.location == str(tmp_path) and source.name == tmp_path.name
    whole = (tmp_path / "dog/b.png").read_bytes()
    assert train.content_hash(3) == hashlib.blake2b(whole, digest_size=16).hexdigest()


@pytest.mark.parametrize("val", ["val", "valid", "validation", "Val"])
def test_split_folders_share_the_class_list_of_train(tmp_path, val):
    train, test = ("Training", "testing") if val == "Val" else ("train", "test")
    pictures = (f"{train}/ant/1.png", f"{train}/bee/2.png", f"{train}/cow/3.png", f"{val}/cow/4.png")
    paint(tmp_path, *pictures, f"{test}/bee/5.png")
    source = open_source(str(tmp_path))
    assert source.classes == ("ant", "bee", "cow") and list(source.splits) == ["train", "val", "test"]
    assert source.splits["val"].labels.tolist() == [2] and source.splits["test"].labels.tolist() == [1]
    assert source.splits["val"].names == [f"{val}/cow/4.png"]


def test_a_class_may_be_called_train(tmp_path):
    paint(tmp_path, "train/1.png", "bus/2.png")
    assert open_source(str(tmp_path)).classes == ("bus", "train")


def test_what_systems_leave_behind_is_passed_over(tmp_path):
    paint(
        tmp_path,
        "cat/1.png",
        "dog/2.png",
        ".hidden/3.png",
        "__MACOSX/cat/4.png",
        ".ipynb_checkpoints/5.png",
        "cat/.ipynb_checkpoints/6.png",
    )
    for junk in (".DS_Store", "cat/._1.png", "cat/.DS_Store", "dog/Thumbs.db", "Thumbs.db"):
        (tmp_path / junk).write_bytes(b"junk")
    assert open_source(str(tmp_path)).splits["train"].names == ["cat/1.png", "dog/2.png"]


def test_names_are_nfc_however_the_file_system_spells_them(tmp_path):
    paint(tmp_path, unicodedata.normalize("NFD", "gr\u00fcn/\u00e4.png"), "rot/1.png")
    source = open_source(str(tmp_path))
    assert source.classes == ("gr\u00fcn", "rot") and source.splits["train"].names[0] == "gr\u00fcn/\u00e4.png"
    assert source.splits["train"].pixels(0).shape == (3, 4, 3)


def test_links_inside_the_folder_are_read_as_files(tmp_path):
    paint(tmp_path, "cat/1.png", "dog/2.png")
    (tmp_path / "cat" / "again.png").symlink_to("1.png")
    assert len(open_source(str(tmp_path)).splits["train"]) == 3


def test_links_out_of_the_folder_are_refused(tmp_path):
    paint(tmp_path, "secret/0.png", "data/cat/1.png", "data/dog/2.png")
    (tmp_path / "data" / "cat" / "out.png").symlink_to(tmp_path / "secret" / "0.png")
    (tmp_path / "data" / "pig").symlink_to(tmp_path / "secret")
    (tmp_path / "data" / "dog" / "gone.png").symlink_to("nowhere.png")
    (tmp_path / "data" / "dog" / "loop").symlink_to(tmp_path / "data")
    text = problem(tmp_path / "data")
    assert "'cat/out.png' is a link that leads out of the folder" in text
    assert "'pig' is a link that leads out of the folder" in text
    assert "'dog/gone.png' is a link to nothing" in text
    assert "'dog/loop' is a link to a folder of the set" in text


def test_no_such_folder(tmp_path):
    text = problem(tmp_path / "fashon")
    assert "there is no such folder, and no data set of that name" in text and "fashion-mini" in text


def test_a_misspelt_data_set_gets_a_suggestion():
    with pytest.raises(UserError, match="Did you mean 'fashion-mini'?"):
        open_source("fashion-min")


def test_a_file_instead_of_a_folder(tmp_path):
    (tmp_path / "data.zip").write_bytes(b"PK")
    assert "is a file, not a folder. Unpack it" in problem(tmp_path / "data.zip")


def test_an_empty_folder(tmp_path):
    assert "the folder is empty. A data folder holds one folder a class: cats/1.jpg" in problem(tmp_path)


def test_a_folder_without_pictures(tmp_path):
    (tmp_path / "readme.txt").write_text("hello")
    assert "the folder holds no pictures. A data folder" in problem(tmp_path)


def test_pictures_without_class_folders(tmp_path):
    paint(tmp_path, "1.png", "2.png")
    assert "the pictures lie in it without class folders. A data folder holds one folder a class" in problem(tmp_path)


def test_splits_without_class_folders(tmp_path):
    paint(tmp_path, "train/1.png", "test/2.png")
    assert "there is test/, train/ without class folders in train/" in problem(tmp_path)


def test_an_unlabelled_test_folder(tmp_path):
    paint(tmp_path, "train/a/1.png", "train/b/2.png", "test/3.png", "test/4.png")
    assert "'test/3.png' and 1 more: outside of any class folder" in problem(tmp_path)


def test_a_picture_beside_the_class_folders(tmp_path):
    paint(tmp_path, "a/1.png", "b/2.png", "3.png")
    assert "'3.png': outside of any class folder. Move pictures into their class." in problem(tmp_path)


def test_a_test_folder_without_train(tmp_path):
    paint(tmp_path, "test/a/1.png", "test/b/1.png")
    assert "there is test/ but no train/" in problem(tmp_path)


def test_the_same_split_twice_and_a_misspelt_one(tmp_path):
    paint(tmp_path, *(f"{split}/{c}/1.png" for split in ("train", "val", "valid", "tset") for c in "ab"))
    text = problem(tmp_path)
    assert "val and valid are the same split" in text
    assert "'tset' beside train/ is no split. Did you mean 'test'?" in text


@pytest.mark.parametrize("names", [("training_set", "test_set"), ("valid", "My test"), ("Train images", "val")])
def test_splits_of_other_names_are_no_classes(tmp_path, names):
    """Else a network would learn to tell the pictures of training from those of test; the audit says it too."""
    paint(tmp_path, *(f"{name}/{kind}/1.png" for name in names for kind in ("cat", "dog")))
    text = problem(tmp_path)
    assert "but no train/. Call " in text and f"'{names[1]}' {'val' if names[1] == 'val' else 'test'}" in text
    assert any(finding.kind == "layout" and len(finding.items) == 2 for finding in walk_folder(tmp_path)[1])


def test_a_folder_beside_train_that_is_called_nearly_like_a_split_is_not_passed_over(tmp_path):
    paint(tmp_path, *(f"{name}/{kind}/1.png" for name in ("train", "test_set") for kind in "ab"))
    assert "'test_set' beside train/ is no split. Did you mean 'test'?" in problem(tmp_path)


def test_classes_called_like_splits_stay_classes(tmp_path):
    """Trains and rain are near the names of splits; but they hold pictures, not folders."""
    paint(tmp_path, "trains/1.png", "rain/2.png")
    assert open_source(str(tmp_path)).classes == ("rain", "trains")


def test_one_class(tmp_path):
    paint(tmp_path, "cat/1.png")
    assert "there is only one class, 'cat'" in problem(tmp_path)


def test_classes_one_folder_further_down(tmp_path):
    """What an archive is unpacked to is often a folder in a folder."""
    paint(tmp_path, "images/cat/1.png", "images/dog/2.png")
    assert f"Are its folders the classes? Then give {tmp_path.resolve() / 'images'}." in problem(tmp_path)


def test_an_empty_class_folder_is_named(tmp_path):
    paint(tmp_path, "train/cat/1.png", "train/dog/2.png", "test/dog/3.png")
    (tmp_path / "train" / "cow").mkdir()
    (tmp_path / "test" / "cat").mkdir()
    (tmp_path / "test" / "cat" / "IMG_1.heic").write_bytes(b"\0\0\0\x18ftypheic")
    text = problem(tmp_path)
    assert "class folder 'train/cow' holds no picture; fill or remove it" in text
    assert "class folder 'test/cat' holds no picture, only .heic; convert these to JPEG or PNG" in text


def test_a_class_that_train_does_not_have(tmp_path):
    paint(tmp_path, "train/cat/1.png", "train/dog/2.png", "test/dgo/3.png")
    assert "'test/dgo' is a class that train does not have. Did you mean 'dog'?" in problem(tmp_path)


def unreadable(root) -> str:
    with pytest.raises(UserError) as caught:
        open_data(str(root))
    assert str(root) in caught.value.where
    return str(caught.value)


def test_files_that_are_no_pictures_are_explained(tmp_path):
    paint(tmp_path, "a/1.png", "b/2.png")
    (tmp_path / "a/empty.jpg").write_bytes(b"")
    (tmp_path / "a/page.jpg").write_text("<!DOCTYPE html><html><body>404</body></html>")
    (tmp_path / "a/pointer.png").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 3\n")
    (tmp_path / "a/text.jpg").write_text("hello")
    text = unreadable(tmp_path)
    assert "'a/empty.jpg' is no picture: it is empty (0 bytes)" in text
    assert "'a/page.jpg' is no picture: it is an HTML page" in text
    assert "'a/pointer.png' is no picture: it is a Git LFS pointer, not the picture; run git lfs pull" in text
    assert "'a/text.jpg' is no picture: it is text" in text


def test_many_files_that_are_no_pictures_are_counted(tmp_path):
    paint(tmp_path, "a/1.png", "b/2.png")
    for i in range(12):
        (tmp_path / "b" / f"bad{i:02d}.jpg").write_text("hello")
    text = unreadable(tmp_path)
    assert text.count("is no picture") == 5 and "12 of 14 training pictures" in text
    assert "... and 7 more" in text


@pytest.mark.skipif(os.name != "posix", reason="file names are bytes on POSIX only")
def test_a_name_that_is_not_utf8_is_reported(tmp_path):
    paint(tmp_path, "a/1.png", "b/2.png")
    try:
        os.rename(tmp_path / "a/1.png", os.fsencode(tmp_path) + b"/a/\xff.png")
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    assert "its name is not UTF-8" in problem(tmp_path)
