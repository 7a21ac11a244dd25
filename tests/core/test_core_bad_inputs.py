"""The catalogue of bad inputs: for each, what the command line says, and the exit code, stored as a snapshot.

The rows are those of issue 3 ("bad inputs"): pictures, folders, tables, packed sets, models that do not belong to the
data. What a row means is tested where its code is; here it is what a user sees: never a traceback, never exit code 0
over a wrong number, all that is wrong at once, and nothing written where nothing was run.
"""

from __future__ import annotations

import io
import json
import os
import re
import struct
import tarfile
import unicodedata
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image

CNN = "--model cnn3 --epochs 1 --input-size 16 --batch-size 8"
TRAIN = f"train data {CNN}"
AUDIT = "audit data"


class Case(NamedTuple):
    build: Callable[[Path], None]
    words: str
    code: int


CASES: dict[str, Case] = {}


def case(words: str = "", code: int = 2, **commands: tuple[str, int]):
    """A function that makes what is bad about a folder of 12 cats and 12 dogs; commands, each with its exit code."""

    def add(build: Callable[[Path], None]) -> Callable[[Path], None]:
        name = build.__name__.replace("_", "-")
        for word, (command, expected) in (commands or {"": (words, code)}).items():
            CASES[f"{name}-{word}".rstrip("-")] = Case(build, command, expected)
        return build

    return add


def picture(seed: int, mode: str = "RGB", size: tuple[int, int] = (16, 16)) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 4), dtype=np.uint8)
    pixels[..., 3] |= 128
    return Image.fromarray(pixels).convert(mode)


def encode(seed: int, format: str = "PNG", mode: str = "RGB", size: tuple[int, int] = (16, 16), **options) -> bytes:
    file = io.BytesIO()
    picture(seed, mode, size).save(file, format, **options)
    return file.getvalue()


def fill(root: Path, classes: tuple[str, ...] = ("cat", "dog"), n: int = 12, first: int = 0) -> None:
    for label, name in enumerate(classes):
        (root / name).mkdir(parents=True, exist_ok=True)
        for i in range(n):
            (root / name / f"{i:02d}.png").write_bytes(encode(first + 1000 * label + i))


def fill_splits(data: Path, **options) -> None:
    """The good pictures in train, others in val and test."""
    (data / "train").mkdir()
    for name in ("cat", "dog"):
        (data / name).rename(data / "train" / name)
    fill(data / "val", n=3, first=100, **options)
    fill(data / "test", n=3, first=200, **options)


# Pictures that are none, or can't be read.


@case(train=(TRAIN, 2), audit=(AUDIT, 4))
def truncated_jpeg(data):
    (data / "cat/cut.jpg").write_bytes(encode(1, "JPEG", size=(64, 64))[:900])


@case(f"{TRAIN} --max-unreadable 10%", 0)
def truncated_jpeg_within_the_limit(data):
    (data / "cat/cut.jpg").write_bytes(encode(1, "JPEG", size=(64, 64))[:900])


@case(TRAIN, 2)
def unreadable_picture_in_val(data):
    fill_splits(data)
    (data / "val/cat/cut.jpg").write_bytes(encode(1, "JPEG", size=(64, 64))[:900])


@case(TRAIN, 2)
def a_whole_class_of_val_unreadable(data):
    fill_splits(data)
    for file in (data / "val/dog").iterdir():
        file.write_bytes(b"")


@case(TRAIN, 2)
def a_whole_class_of_train_unreadable(data):
    for file in (data / "dog").iterdir():
        file.write_bytes(file.read_bytes()[:60])


@case(TRAIN, 2)
def text_in_test(data):
    fill_splits(data)
    (data / "test/cat/readme.png").write_text("not found")


@case(train=(TRAIN, 2), audit=(AUDIT, 4))
def no_pictures_by_their_first_bytes(data):
    for name, content in {
        "empty.jpg": b"",
        "text.png": b"just a text",
        "page.jpg": b"<!DOCTYPE html><html>404</html>",
        "lfs.png": b"version https://git-lfs.github.com/spec/v1\noid sha256:12\nsize 9\n",
        "photo.jpg": b"\0\0\0\x18ftypheic\0\0\0\0",
        "drawing.png": b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        "drawing.jpg": b"%!PS-Adobe-3.0 EPSF-3.0",
        "archive.jpg": b"PK\3\4" + bytes(40),
    }.items():
        (data / "cat" / name).write_bytes(content)


@case(train=(TRAIN, 2), audit=(AUDIT, 4))
def garbage_in_the_middle(data):
    whole = bytearray(encode(1, size=(64, 64)))
    whole[4000:4100] = bytes(range(100))
    (data / "dog/garbage.png").write_bytes(whole)


@case(train=(TRAIN, 2), audit=(AUDIT, 4))
def floating_point_tiff(data):
    Image.fromarray(np.linspace(0, 1, 256, dtype=np.float32).reshape(16, 16)).save(data / "cat/depth.tif")


@case(train=(TRAIN, 2), audit=(AUDIT, 4))
def decompression_bombs(data):
    """100 and 400 million pixels in a few hundred bytes of PNG."""
    for name, side in (("bomb", 10_000), ("larger", 20_000)):
        head = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
        chunks = [(b"IHDR", head), (b"IDAT", zlib.compress(bytes(1000))), (b"IEND", b"")]
        parts = [struct.pack(">I", len(b)) + k + b + struct.pack(">I", zlib.crc32(k + b)) for k, b in chunks]
        (data / f"cat/{name}.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))


@case(train=(TRAIN, 2), audit=(AUDIT, 4))
def a_pipe(data):
    """Opened, it would be waited for without end."""
    os.mkfifo(data / "cat/pipe.png")


@case(train=(TRAIN, 2), audit=(AUDIT, 4))
def a_dangling_link(data):
    (data / "cat/gone.png").symlink_to("nowhere.png")


@case(train=(TRAIN, 2), audit=(AUDIT, 4))
def a_link_that_leads_out(data):
    (data.parent / "secret.png").write_bytes(encode(5))
    (data / "cat/out.png").symlink_to("../../secret.png")


# Pictures of unusual kinds, all of which are fine.


@case(AUDIT, 0)
def unusual_pictures(data):
    """16 bits, CMYK, grey, grey with alpha, one bit, palette, turned, WebP, an animation: no finding but the facts."""
    deep = np.random.default_rng(3).integers(0, 65536, (16, 16), dtype=np.uint16)
    Image.fromarray(deep).save(data / "cat/deep.png")
    exif = Image.Exif()
    exif[0x0112] = 6
    for name, mode, options in [
        ("cmyk.jpg", "CMYK", {}), ("grey.jpg", "L", {}), ("la.png", "LA", {}), ("rgba.png", "RGBA", {}),
        ("bit.png", "1", {}), ("palette.png", "P", {}), ("turned.jpg", "RGB", {"exif": exif}), ("web.webp", "RGB", {}),
        ("Capitals.PNG", "RGB", {}), ("plain.ppm", "RGB", {}), ("plain.bmp", "RGB", {}), ("plain.tif", "RGB", {}),
    ]:  # fmt: skip
        picture(500 + len(list(data.rglob("*"))), mode).save(data / "dog" / name, **options)
    frames = [picture(40 + i) for i in range(3)]
    frames[0].save(data / "dog/film.gif", save_all=True, append_images=frames[1:])


@case(AUDIT, 0)
def names_in_unicode(data):
    (data / "cat").rename(data / unicodedata.normalize("NFD", "Käse"))
    (data / "dog").rename(data / "日本 🍣")
    (data / "日本 🍣/00.png").rename(data / "日本 🍣/émoji 🐕.png")


@case(train=(TRAIN, 2), audit=(AUDIT, 4))
def a_name_that_is_not_utf_8(data):
    os.rename(os.fsencode(data / "cat/00.png"), os.fsencode(data / "cat") + b"/\xff\xfe.png")


# Folders.


@case(AUDIT, 0)
def what_systems_leave_behind(data):
    """None of these is a class or a picture; a folder may be called like a picture."""
    for name in (".DS_Store", "Thumbs.db", "cat/.DS_Store", "cat/Thumbs.db", "cat/._00.png"):
        (data / name).write_bytes(b"x")
    for name in (".ipynb_checkpoints", "__MACOSX", ".git"):
        fill(data / name, n=1, first=50)
    (data / "cat/01.png").unlink()
    (data / "cat/01.png").mkdir()
    (data / "cat/01.png/inside.png").write_bytes(encode(77))


@case(train=(TRAIN, 2), audit=(AUDIT, 4))
def an_empty_class_folder(data):
    (data / "eel").mkdir()


@case(train=(TRAIN, 2), audit=(AUDIT, 4))
def a_class_of_other_files(data):
    (data / "eel").mkdir()
    (data / "eel/1.heic").write_bytes(b"x")
    (data / "eel/notes.txt").write_text("x")


@case(AUDIT, 0)
def a_class_missing_in_val(data):
    """Labels do not shift: the class list is that of train; the audit says which class can't be measured."""
    fill_splits(data)
    for file in (data / "val/cat").iterdir():
        file.unlink()
    (data / "val/cat").rmdir()


@case(train=(TRAIN, 2), audit=(AUDIT, 4))
def a_class_that_train_does_not_have(data):
    fill_splits(data)
    (data / "val/cat").rename(data / "val/cats")


@case(train=(TRAIN, 2), audit=(AUDIT, 4))
def a_flat_folder(data):
    for file in (data / "cat").iterdir():
        file.rename(data / file.name)
    for name in ("cat", "dog"):
        for file in (data / name).iterdir():
            file.unlink()
        (data / name).rmdir()


@case(train=(f"train nowhere {CNN}", 2), audit=("audit nowhere", 2))
def a_missing_folder(data):
    pass


@case(train=(f"train data/cat/00.png {CNN}", 2), archive=(f"train pets.zip {CNN}", 2))
def a_file_instead_of_a_folder(data):
    (data.parent / "pets.zip").write_bytes(b"PK\3\4")


@case(train=(f"train empty {CNN}", 2), audit=("audit empty", 2))
def an_empty_folder(data):
    (data.parent / "empty").mkdir()


@case(TRAIN, 2)
def splits_without_train(data):
    fill_splits(data)
    (data / "train").rename(data / "other")
    for name in ("cat", "dog"):
        (data / "other" / name).rename(data / "test" / f"{name}s")
    (data / "other").rmdir()


@case(train=(TRAIN, 2), audit=(AUDIT, 4))
def a_split_twice_and_a_misspelt_one(data):
    fill_splits(data)
    fill(data / "valid", n=1, first=300)
    fill(data / "tset", n=1, first=400)


@case(TRAIN, 2)
def a_single_class(data):
    for file in (data / "dog").iterdir():
        file.unlink()
    (data / "dog").rmdir()


@case(AUDIT, 0)
def a_class_of_one_picture(data):
    fill(data, ("eel",), n=1, first=70)


@case(train=(TRAIN, 2), audit=(AUDIT, 4))
def pictures_outside_of_classes(data):
    (data / "stray.png").write_bytes(encode(90))


# Copies.


@case(AUDIT, 4)
def copies_across_splits(data):
    fill_splits(data)
    (data / "test/cat/copy.png").write_bytes((data / "train/cat/03.png").read_bytes())


@case(AUDIT, 4)
def one_picture_with_two_labels(data):
    (data / "dog/same.png").write_bytes((data / "cat/05.png").read_bytes())


@case(AUDIT, 0)
def the_same_picture_twice(data):
    (data / "cat/again.png").write_bytes((data / "cat/05.png").read_bytes())


# Tables.

TABLE = f"train list.csv {CNN}"


def write_table(data: Path, text: str | bytes, name: str = "list.csv", header: str = "path,label\n") -> None:
    rows = "".join(f"data/{label}/{i:02d}.png,{label}\n" for label in ("cat", "dog") for i in range(3))
    content = text if isinstance(text, bytes) else (header + rows + text).encode()
    (data.parent / name).write_bytes(content)


@case(TABLE, 2)
def a_table_with_many_mistakes(data):
    """Missing files, duplicate rows, empty values, absolute, upwards, too many values: all, with their lines."""
    rows = ["data/cat/99.png,cat", "data/cat/00.png,cat", "data/dog/00.png,cat", "data/cat/05.png,", ",cat"]
    rows += ["/etc/passwd,cat", "../data/cat/06.png,cat", "data/cat/07.png,cat,more", 'data/cat/"08.png,cat']
    write_table(data, "\n".join(rows) + "\n")


@case("audit list.csv", 0)
def a_table_with_a_mark_and_blanks(data):
    rows = "".join(f"data/{label}/{i:02d}.png , {label} \r\n" for label in ("cat", "dog") for i in range(12))
    write_table(data, b"\xef\xbb\xbfpath,label\r\n" + rows.encode())


@case(csv=(TABLE, 2), tsv=(f"train list.tsv {CNN}", 2))
def a_table_divided_otherwise(data):
    write_table(data, b"path;label\ndata/cat/00.png;cat\n")
    write_table(data, b"path,label\ndata/cat/00.png,cat\n", "list.tsv")


@case(TABLE, 2)
def an_unknown_column(data):
    write_table(data, "", header="path,label\n".replace("label", "lable"))


@case(TABLE, 2)
def a_table_without_a_header(data):
    write_table(data, "", header="")


@case(TABLE, 2)
def an_unknown_split(data):
    rows = "".join(
        f"data/{label}/{i:02d}.png,{label},{'trian' if i else 'train'}\n" for label in ("cat", "dog") for i in (0, 1)
    )
    write_table(data, ("path,label,split\n" + rows).encode())


@case(TABLE, 2)
def a_label_only_in_val(data):
    write_table(
        data, b"path,label,split\ndata/cat/00.png,cat,train\ndata/cat/01.png,dog,train\ndata/dog/00.png,eel,val\n"
    )


@case(empty=(TABLE, 2), wide=(f"train wide.csv {CNN}", 2), bytes=(f"train latin.csv {CNN}", 2))
def a_table_that_is_no_text_in_utf_8(data):
    write_table(data, b"")
    write_table(data, "path,label\n".encode("utf-16"), "wide.csv")
    write_table(data, b"path,label\ndata/cat/00.png,k\xe4se\n", "latin.csv")


@case(f"train list.parquet {CNN}", 2)
def a_parquet_that_is_none(data):
    write_table(data, b"PAR1 but nothing more", "list.parquet")


@case(f"train list.txt {CNN}", 2)
def a_text_list_without_labels(data):
    write_table(data, b"data/cat/00.png\ndata/dog/00.png\n", "list.txt")


# Packed sets.


def write_shard(path: Path, files: dict[str, bytes], **about) -> None:
    with tarfile.open(path, "w") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            for field, value in about.items():
                setattr(info, field, value)
            tar.addfile(info, io.BytesIO(content) if info.isreg() else None)


def good_shard(n: int = 4) -> dict[str, bytes]:
    return {
        name: content for i in range(n) for name, content in ((f"{i}.png", encode(i)), (f"{i}.cls", b"%d" % (i % 2)))
    }


SHARDS = f"train wds:. {CNN}"


@case(SHARDS, 2)
def shards_cut_short_compressed_and_none(data):
    write_shard(data.parent / "train-0.tar", good_shard())
    whole = (data.parent / "train-0.tar").read_bytes()
    (data.parent / "train-1.tar").write_bytes(whole[:3000])
    (data.parent / "train-2.tar").write_bytes(whole[:2560])
    (data.parent / "train-3.tar").write_bytes(b"\x1f\x8b" + whole)
    (data.parent / "train-4.tar").write_bytes(b"")


@case(SHARDS, 2)
def a_link_in_a_shard(data):
    write_shard(data.parent / "train-0.tar", {"0.png": b""}, type=tarfile.SYMTYPE, linkname="/etc/passwd")


@case(SHARDS, 2)
def a_member_that_leads_out(data):
    write_shard(data.parent / "train-0.tar", {"../../0.png": encode(0), "../../0.cls": b"0"})


@case(SHARDS, 2)
def a_shard_without_classes(data):
    write_shard(data.parent / "train-0.tar", {"0.png": encode(0), "1.png": encode(1)})


@case(SHARDS, 2)
def fewer_names_than_classes(data):
    write_shard(data.parent / "train-0.tar", good_shard() | {"9.png": encode(9), "9.cls": b"7"})
    (data.parent / "classes.txt").write_text("cat\ndog\n")


@case(pattern=(f"train wds:train-{{0..3}}.tar {CNN}", 2), address=(f"train wds:https://host/train-0.tar {CNN}", 2))
def shards_that_are_not_here(data):
    write_shard(data.parent / "train-0.tar", good_shard())


@case(train=(f"train . {CNN}", 2), file=(f"train train-0.tar {CNN}", 2))
def shards_without_their_prefix(data):
    data.rename(data.parent / ".hidden")
    write_shard(data.parent / "train-0.tar", good_shard())


@case(f"train hf:nowhere/at/all {CNN}", 2)
def no_name_of_the_hub(data):
    pytest.importorskip("datasets")


@case(f"train hf:data {CNN}", 2)
def a_folder_that_is_no_saved_set(data):
    pytest.importorskip("datasets")


# Options of the data.


@case(f"{TRAIN} --alpha pink --validation 120% --fold 6/5 --classes cat,dgo", 2)
def wrong_options(data):
    pass


@case(f"{TRAIN} --classes two.txt", 2)
def a_class_list_with_unknown_names(data):
    (data.parent / "two.txt").write_text("cat\ndgo\n")


@case(f"{TRAIN} --exclude out.txt", 2)
def an_exclusion_list_of_other_pictures(data):
    (data.parent / "out.txt").write_text("cat/99.png\tcut short\n")


# Models that do not belong to the data, and files that are no models.


@case(evaluate=("evaluate RUN data", 2), teacher=(f"{TRAIN} --teacher RUN", 2))
def a_model_of_other_classes(data):
    (data / "dog").rename(data / "eel")
    fill(data, ("fox",), first=5000)


@case("prune RUN --params 50% --data data", 2)
def other_pictures_than_the_models(data):
    (data / "cat/00.png").write_bytes(encode(31_337))


@case(evaluate=("evaluate RUN", 2), export=("export RUN", 2), predict=("predict RUN data/cat/00.png", 2))
def a_pickle_in_place_of_the_weights(data):
    (data.parent / "RUN/model.safetensors").write_bytes(evil(data))


@case(f"train data --model resnet18 --pretrained evil.pth {CNN.replace('--model cnn3', '')}", 2)
def a_pickle_as_pretrained_weights(data):
    (data.parent / "evil.pth").write_bytes(evil(data))


@case(folder=("predict data data/cat/00.png", 2), missing=("predict nowhere data/cat/00.png", 2))
def no_run_at_all(data):
    pass


@case(missing=("predict RUN nowhere.png", 2), broken=("predict RUN cut.png", 2), empty=("predict RUN none", 2))
def pictures_to_predict_that_are_none(data):
    (data.parent / "cut.png").write_bytes(encode(1)[:80])
    (data.parent / "none").mkdir()


@case(file=(f"{TRAIN} --out taken", 2), below=(f"{TRAIN} --out taken/run", 2), audit=(f"{AUDIT} --out data/cat", 2))
def a_place_that_can_not_be_written(data):
    (data.parent / "taken").write_text("mine")


def evil(data: Path) -> bytes:
    """A pickle that makes a file when it is loaded."""
    path = str(data.parent / "executed").encode()
    return b"cbuiltins\nopen\n(V" + path + b"\nVw\ntR."


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """A run of the good pictures, made once."""
    from strop import Train

    root = tmp_path_factory.mktemp("trained")
    fill(root / "data")
    data = {"source": str(root / "data"), "input_size": 16}
    return Train(data=data, model="cnn3", epochs=1, batch_size=8, out=str(root / "RUN")).execute().folder


@pytest.fixture
def bad(here, request, monkeypatch, tmp_path_factory):
    """The folder `data`, and beside it RUN where the row needs it, after the row did what it does."""
    monkeypatch.setenv("STROP_CACHE", str(tmp_path_factory.mktemp("cache")))
    case = CASES[request.param]
    fill(here / "data")
    if "RUN" in case.words:
        import shutil

        run = request.getfixturevalue("trained")
        shutil.copytree(run, here / "RUN")
        about = json.loads((here / "RUN/data.json").read_text())
        (here / "RUN/data.json").write_text(json.dumps(about | {"location": str(here / "data")}))
    case.build(here / "data")
    return request.param


@pytest.mark.parametrize("bad", CASES, indirect=True)
@pytest.mark.filterwarnings("ignore")
def test_bad_input(bad, here, strop, same_as_snapshot):
    case = CASES[bad]
    before = set(here.rglob("*"))
    code, out, err = strop(*case.words.split())
    assert code == case.code, (code, out, err)
    assert "Traceback" not in out + err and not (here / "executed").exists()
    if code == 2:
        assert set(here.rglob("*")) == before, "a refused command wrote something"
        assert err.count("error: ") == 1 and "error" not in out
    said = out + err
    if case.words.startswith("train") and code == 0:  # what was said before the training
        said = out.partition("cnn3, trained")[0].rpartition("\n")[0]
    said = re.sub(r"\b\d+ s\b", "N s", said.replace(str(here.resolve()), "FOLDER"))
    same_as_snapshot(f"bad-{bad}", f"$ strop {case.words}\n{said}\nexit code {code}")
