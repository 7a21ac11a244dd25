"""The programs beside an export, in Python and Node, against the network in torch: on equal pixels, and from files."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

SIDES = (24, 31, 48, 53, 97)  # the network sees 24


@pytest.fixture(scope="session")
def node_modules(trained):
    """What package.json names, installed once into a folder for temporary files; skipped where npm can't."""
    package = (trained / "runs" / "small-export" / "package.json").read_bytes()
    node, npm = shutil.which("node"), shutil.which("npm")
    if not (node and npm):
        pytest.skip("node and npm are not here")
    digest = hashlib.sha256(package).hexdigest()[:12]
    kept = Path(tempfile.gettempdir()) / f"strop-node-{os.getuid()}-{digest}"
    if not (kept / "node_modules").is_dir():
        with tempfile.TemporaryDirectory(dir=tempfile.gettempdir()) as scratch:
            (Path(scratch) / "package.json").write_bytes(package)
            words = [npm, "install", "--ignore-scripts", "--no-audit", "--no-fund", "--no-package-lock"]
            done = subprocess.run(words, cwd=scratch, capture_output=True, text=True, timeout=240)
            if done.returncode:
                pytest.skip(f"npm can't install what package.json names here: {done.stderr.strip()[-200:]}")
            kept.mkdir(mode=0o700, exist_ok=True)
            if not (kept / "node_modules").exists():
                os.rename(Path(scratch) / "node_modules", kept / "node_modules")
    assert kept.stat().st_uid == os.getuid()
    return kept / "node_modules"


@pytest.fixture(scope="session")
def deployed(trained, node_modules, tmp_path_factory):
    """deployed("python" | "node", files): what a program says, from a copy of the exported folder alone."""
    folder = shutil.copytree(trained / "runs" / "small-export", tmp_path_factory.mktemp("deployed") / "copy")
    (folder / "node_modules").symlink_to(node_modules)
    programs = {"python": [sys.executable, "predict.py"], "node": ["node", "predict.mjs"]}

    def run(program, files):
        words = [*programs[program], *map(str, files)]
        return subprocess.run(words, cwd=folder, capture_output=True, text=True, encoding="utf-8", timeout=300)

    return run


@pytest.fixture(scope="session")
def ask(deployed):
    """ask("python" | "node", files): (class, probability) of each."""

    def run(program, files):
        done = deployed(program, files)
        assert done.returncode == 0, done.stderr
        rows = [line.split("\t") for line in done.stdout.splitlines()]
        assert [row[2] for row in rows] == list(map(str, files))
        return [(row[0], float(row[1])) for row in rows]

    return run


@pytest.fixture(scope="session")
def in_torch(trained, strop_in):
    """What the float run says in torch to files that strop decodes."""

    def run(files):
        said = strop_in(trained, "predict", "runs/small", *files, "--json")
        assert said.code == 0, said.err
        return [(row["class"], row["probability"]) for row in json.loads(said.out)["predictions"]]

    return run


@pytest.fixture(scope="session")
def colourful(shapes):
    """The 60 test pictures in other sizes, wide and tall ones too, in colour."""
    pictures = []
    for number, file in enumerate(sorted((shapes / "test").rglob("*.png"))):
        side, (more, less) = SIDES[number % len(SIDES)], [(0, 0), (7, 0), (0, 12)][number % 3]
        grey = np.asarray(Image.open(file).resize((side, side), Image.Resampling.BICUBIC))
        grey = np.pad(grey, ((more, more), (less, less)), mode="reflect").astype(float)
        tint = 0.6 + 0.4 * np.random.default_rng(number).random(3)
        pictures.append(Image.fromarray((grey[:, :, None] * tint).astype(np.uint8)))
    return pictures


TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


def save_turned(image, file, **options):
    """As a camera held otherwise: stored turned, with the EXIF orientation that undoes it, each of 2 to 8 in turn."""
    orientation, exif = 2 + int(file.stem[-2:]) % 7, Image.Exif()
    exif[0x112] = orientation
    image.transpose(TURNS[orientation]).save(file, exif=exif, **options)


def save_transparent(image, file):
    """Grey or colour with an opacity that rises from left to right."""
    opacity = np.broadcast_to(np.linspace(0, 255, image.width), (image.height, image.width))
    image.putalpha(Image.fromarray(opacity.astype(np.uint8)))
    image.save(file)


def save_deep(image, file):
    """16 bits a channel, with something in the lower 8; grey and colour in turn."""
    pixels = np.asarray(image).astype(np.uint16) * 256 + 201
    cv2.imwrite(str(file), pixels if int(file.stem[-2:]) % 2 else pixels[:, :, 0])


FORMS = {
    "png": (".png", lambda image, file: image.save(file)),
    "jpeg": (".jpg", lambda image, file: image.save(file, quality=90)),
    "444": (".jpg", lambda image, file: image.save(file, quality=80, subsampling=0)),
    "progressive": (".jpg", lambda image, file: image.save(file, quality=70, progressive=True)),
    "turned": (".jpg", lambda image, file: save_turned(image, file, quality=90)),
    "turnedpng": (".png", save_turned),
    "turnedwebp": (".webp", lambda image, file: save_turned(image, file, lossless=True)),
    "turnedtiff": (".tif", save_turned),
    "grey": (".jpg", lambda image, file: image.convert("L").save(file, quality=90)),
    "greyalpha": (".png", lambda image, file: save_transparent(image.convert("LA"), file)),
    "cmyk": (".jpg", lambda image, file: image.convert("CMYK").save(file, quality=90)),
    "palette": (".png", lambda image, file: image.quantize(64).save(file)),
    "transparent": (".png", save_transparent),
    "16bit": (".png", save_deep),
    "webp": (".webp", lambda image, file: image.save(file, quality=80)),
    "gif": (".gif", lambda image, file: image.save(file)),
    "bmp": (".bmp", lambda image, file: image.save(file)),
}


@pytest.fixture(scope="session")
def answers(ask, in_torch, colourful, tmp_path_factory):
    """Files of all forms in one call of each program, which starts slowly: {form: [(file, python, node, torch)]}."""
    folder, files = tmp_path_factory.mktemp("forms"), []
    for form, (ending, save) in FORMS.items():
        for number, image in enumerate(colourful):
            files.append(folder / f"{form}-{number:02}{ending}")
            save(image.copy(), files[-1])
    rows = list(zip(files, ask("python", files), ask("node", files), in_torch(files), strict=True))
    return {form: [row for row in rows if row[0].name.startswith(f"{form}-")] for form in FORMS}


@pytest.mark.parametrize("form", FORMS)
def test_from_files(answers, form, record_property):
    """The rate is reported and each disagreement listed. All decoders give the pixels of Pillow, which is strop's own,
    so every class is that of torch, and probabilities differ as float32 does; Jimp's CMYK is up to one level off."""
    rows = answers[form]
    assert len(rows) == 60 and len({name for *_, (name, _) in rows}) > 1
    for place, program in ((1, "python"), (2, "node")):
        named = [(row[0].name, *row[place], *row[3]) for row in rows]
        apart = [f"{name}: {program} {a} {p:.3f}, torch {b} {q:.3f}" for name, a, p, b, q in named if a != b]
        rate = 1 - len(apart) / len(named)
        record_property(f"{program} agrees on {form}", rate)
        print(f"{form}: {program} agrees on {100 * rate:.1f} % of {len(named)}", *apart, sep="\n  ")
        is_exact = (program, form) != ("node", "cmyk")
        assert rate >= (1 if is_exact else 0.95), "\n".join(apart)
        largest = max(abs(p - q) for _, a, p, b, q in named if a == b)
        assert largest < (1e-4 if is_exact else 0.02), f"{program} on {form}: {largest}"


@pytest.mark.parametrize("program", ["python", "node"])
@pytest.mark.parametrize(
    ("ending", "broken"),
    [
        (".jpg", lambda file: file.read_bytes()[:400]),
        (".png", lambda file: file.read_bytes()[:200]),
        (".webp", lambda file: file.read_bytes()[:200]),
        (".heic", lambda file: b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(200)),
        (".gone.jpg", lambda file: None),
    ],
)
def test_what_can_not_be_read(deployed, colourful, tmp_path, program, ending, broken):
    """One sentence with the file's name and exit code 1, no stack trace; and no class for half a picture."""
    file = tmp_path / f"broken{ending}"
    if ending in (".jpg", ".png", ".webp"):
        colourful[4].save(file)
    if (content := broken(file)) is not None:
        file.write_bytes(content)
    done = deployed(program, [file])
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"{file}: can't be read (") and len(done.stderr.splitlines()) == 1
