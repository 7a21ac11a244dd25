"""Images per second and core: strop's loading beside torchvision's and timm's, interleaved, at equal work.

    python benchmarks/loading.py --photos mini_photos_128.tar.gz     # 500x375 JPEGs made from these photographs
    python benchmarks/loading.py --jpegs FOLDER                      # or your own, one folder a class

Work: random-resized-crop, flip, normalise to float32. Small pictures are those of fashion-mini, as PNG files. What is
measured is the CPU time of the process and its workers on one core, so other load on the machine distorts little.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import sys
import tarfile
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from importlib import metadata
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image

from strop.data import open_data
from strop.data.geometry import Box, RandomCrop, resize_smoothly
from strop.data.jpeg import choose_scale, read_header, snap
from strop.data.load import Loader, pictures
from strop.data.picture import read_pixels

JPEG_SHAPE, JPEG_QUALITY, DETAIL = (375, 500), 90, 1.3
LOUD, QUIET = 11, 2  # grey levels of noise: for files of 100 KB, and for looking at pixels
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
WORKERS = (0, 1, 2)


def main() -> None:
    options = parse(sys.argv[1:])
    warnings.filterwarnings("ignore", "This DataLoader will create", UserWarning)  # it is one core on purpose
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    with tempfile.TemporaryDirectory(prefix="loading-") as folder:
        work = Path(folder)
        os.environ["STROP_CACHE"] = str(work / "cache")
        jpegs = options.jpegs or make_jpegs(options.photos, work / "jpegs", options.images, LOUD)
        describe(jpegs)
        compare("JPEG", jpegs, 224, "RGB", 32, options.repeats)
        measure_building(jpegs)
        measure_quality(options.jpegs or make_jpegs(options.photos, work / "quiet", options.images, QUIET))
        for size, mode in ((28, "L"), (64, "RGB")):
            small = make_pngs(work / f"png{size}", size, mode, options.small_images)
            compare(f"{size} px PNG, {mode}", small, size, mode, 128, options.repeats)


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--photos", type=Path, help="tar archive of photographs, to make the JPEGs from")
    source.add_argument("--jpegs", type=Path, help="folder of JPEGs, one folder a class")
    parser.add_argument("--images", type=int, default=300)
    parser.add_argument("--small-images", type=int, default=2000)
    parser.add_argument("--repeats", type=int, default=7)
    return parser.parse_args(arguments)


def make_jpegs(archive: Path, folder: Path, n: int, noise: float) -> Path:
    """Photographs enlarged to 500x375, with the fine detail of twelve others and a sensor's noise (grey levels)."""
    with tarfile.open(archive) as tar:
        names = sorted(m.name for m in tar.getmembers() if m.isfile() and m.name.endswith((".jpg", ".png")))
        photos = [cv2.imdecode(np.frombuffer(tar.extractfile(name).read(), np.uint8), 1)[:, :, ::-1] for name in names]
    random = np.random.default_rng(0)
    for i in range(n):
        path = folder / f"{i % 10}" / f"{i:05d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        height, width = JPEG_SHAPE
        large = cv2.resize(photos[i % len(photos)].copy(), (width, height), interpolation=cv2.INTER_CUBIC)
        grain = noise * random.normal(size=(height, width, 1))
        picture = np.clip(large + make_detail(photos, random) + grain, 0, 255).astype(np.uint8)
        Image.fromarray(picture).save(path, quality=JPEG_QUALITY)
    return folder


def make_detail(photos: list[np.ndarray], random: np.random.Generator) -> np.ndarray:
    side = JPEG_SHAPE[0] // 3
    chosen = [photos[i].copy() for i in random.integers(0, len(photos), 12)]
    tiles = [cv2.resize(photo, (side, side), interpolation=cv2.INTER_AREA) for photo in chosen]
    mosaic = np.vstack([np.hstack(tiles[row : row + 4]) for row in (0, 4, 8)]).astype(np.float32)
    return DETAIL * (mosaic - cv2.GaussianBlur(mosaic, (0, 0), 3))


def make_pngs(folder: Path, size: int, mode: str, n: int) -> Path:
    data = open_data("fashion-mini", validation="0%")
    labels = data.labels("train")
    for i in range(n):
        path = folder / data.classes[labels[i]] / f"{i:05d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(data.pixels("train", i)[:, :, 0]).convert(mode).resize((size, size)).save(path)
    return folder


def describe(jpegs: Path) -> None:
    sizes = [path.stat().st_size for path in jpegs.rglob("*.jpg")]
    versions = ", ".join(
        f"{name} {metadata.version(name)}" for name in ("torch", "torchvision", "timm", "pillow", "simplejpeg")
    )
    print(f"{cpu_name()}; one core; Python {platform.python_version()}, {versions}, OpenCV {cv2.__version__}")
    print(f"{len(sizes)} JPEGs, {statistics.mean(sizes) / 1e3:.0f} KB on average, {min(sizes)} to {max(sizes)} bytes")


def cpu_name() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.processor())


def compare(title: str, folder: Path, size: int, mode: str, batch: int, repeats: int) -> None:
    """Every contender once a round; a peer's figure is that of its best worker count, by median."""
    contenders = {**strop(folder, size, mode, batch), **torchvision(folder, size, mode, batch)}
    contenders |= timm(folder, size, mode, batch)
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for epoch in contenders.values():
        sum(epoch(0))  # reads the files into the page cache, starts the workers
    for round_number in range(1, repeats + 1):
        for name, epoch in contenders.items():
            start = cpu_seconds()
            n = sum(epoch(round_number))
            times[name].append((cpu_seconds() - start) / n * 1e3)
    report(title, times, repeats)


def report(title: str, times: dict[str, list[float]], repeats: int) -> None:
    peers = [name for name in times if name.startswith("torchvision")]
    reference = min(peers, key=lambda name: statistics.median(times[name]))
    print(f"\n{title}: CPU ms a picture, median of {repeats} rounds; x is the median ratio to {reference} in a round")
    for name, values in times.items():
        ratios = [there / here for there, here in zip(times[reference], values, strict=True)]
        middle = statistics.median(values)
        spread = f"{min(values):.3f}-{max(values):.3f}"
        ratio = f"{statistics.median(ratios):5.1f} ({min(ratios):.1f}-{max(ratios):.1f})"
        print(f"  {name:34} {middle:7.3f} ({spread:13})  {1e3 / middle:8.0f}/s  x {ratio}")


def strop(folder: Path, size: int, mode: str, batch: int) -> dict[str, Callable[[int], Iterator[int]]]:
    data, channels = open_data(str(folder), validation="0%"), len(mode)
    contenders = {}
    for source in ("stream", "cache", "memory"):
        train = pictures(data, "train", size=size, channels=channels, source=source, crop=RandomCrop(flip=0.5))
        loader = Loader(train, batch_size=batch, seed=0)
        contenders[f"strop {source}"] = lambda epoch, loader=loader: epoch_of_floats(loader, epoch, channels)
        contenders[f"strop {source}, uint8 out"] = lambda epoch, loader=loader: (
            len(batch.images) for batch in loader.epoch(epoch)
        )
    return contenders


def epoch_of_floats(loader: Loader, epoch: int, channels: int) -> Iterator[int]:
    mean, std = (torch.tensor(values[:channels]).view(-1, 1, 1) for values in (MEAN, STD))
    scale, shift = 1 / (255 * std), -mean / std
    for batch in loader.epoch(epoch):
        yield len(normalise(batch.images, scale, shift))


def normalise(images: torch.Tensor, scale: torch.Tensor, shift: torch.Tensor) -> torch.Tensor:
    """A few pictures at a time, so that what lies between uint8 and the result stays in the processor's cache."""
    floats = torch.empty(images.shape)
    some = max(1, 200_000 // images[0].numel())
    for part, out in zip(images.split(some), floats.split(some), strict=True):
        out.copy_(part).mul_(scale).add_(shift)
    return floats


def torchvision(folder: Path, size: int, mode: str, batch: int) -> dict[str, Callable[[int], Iterator[int]]]:
    from torchvision import datasets, transforms

    steps = [transforms.RandomResizedCrop(size), transforms.RandomHorizontalFlip(), transforms.ToTensor()]
    steps.append(transforms.Normalize(MEAN[: len(mode)], STD[: len(mode)]))
    dataset = datasets.ImageFolder(folder, transforms.Compose(steps), loader=lambda path: open_as(path, mode))
    contenders = {}
    for workers in WORKERS:
        loader = torch.utils.data.DataLoader(
            dataset, batch, shuffle=True, num_workers=workers, persistent_workers=workers > 0
        )
        contenders[f"torchvision, {workers} workers"] = lambda epoch, loader=loader: (len(x) for x, _ in loader)
    return contenders


def open_as(path: str, mode: str) -> Image.Image:
    with open(path, "rb") as file:
        return Image.open(file).convert(mode)


def timm(folder: Path, size: int, mode: str, batch: int) -> dict[str, Callable[[int], Iterator[int]]]:
    from timm.data import ImageDataset, create_loader

    contenders = {}
    for workers in WORKERS:
        loader = create_loader(
            ImageDataset(str(folder), input_img_mode=mode),
            input_size=(len(mode), size, size),
            batch_size=batch,
            is_training=True,
            hflip=0.5,
            color_jitter=None,
            interpolation="bilinear",
            mean=MEAN[: len(mode)],
            std=STD[: len(mode)],
            num_workers=workers,
            persistent_workers=workers > 0,
            device=torch.device("cpu"),
        )
        contenders[f"timm, {workers} workers"] = lambda epoch, loader=loader: (len(x) for x, _ in loader)
    return contenders


def cpu_seconds() -> float:
    """CPU time of this process and its living children."""
    total, tick = time.process_time(), os.sysconf("SC_CLK_TCK")
    for child in children():
        with suppress(FileNotFoundError):  # it has just ended
            fields = Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()
            total += (int(fields[11]) + int(fields[12])) / tick
    return total


def children() -> list[str]:
    found = []
    for task in Path("/proc/self/task").glob("*/children"):
        with suppress(FileNotFoundError):
            found += task.read_text().split()
    return found


def measure_building(jpegs: Path) -> None:
    """What the first reading costs, from files to memory, and from files to the cache's file."""
    data = open_data(str(jpegs), validation="0%")
    for source, size in (("memory", 224), ("cache", 192)):  # another size than before, or the cache would be there
        start = cpu_seconds()
        made = pictures(data, "train", size=size, channels=3, source=source, crop=RandomCrop())
        print(f"  first reading into {source}: {(cpu_seconds() - start) / len(made) * 1e3:.2f} ms a picture")


def measure_quality(jpegs: Path) -> None:
    """Against decoding the whole picture and Pillow's antialiased bilinear resizing of the same box."""
    paths = sorted(jpegs.rglob("*.jpg"))
    print(f"\nPixels against full decoding + Pillow's bilinear: PSNR in dB, median (least), {len(paths)} crops each")
    for size in (224, 160, 128, 64):
        found: dict[int, list[tuple[float, float]]] = {}
        crop = RandomCrop()
        for i, path in enumerate(paths):
            jpeg, whole = read_header(path.read_bytes()), read_pixels(path)
            [(box, _)] = crop.place(crop.draw(0, 0, np.array([i])), [jpeg.shape])
            scale = choose_scale(box, size)
            box = snap(box, scale, jpeg.shape)
            expected = resize_with_pillow(whole, box, size)
            ours = resize_smoothly(jpeg.decode(box, size, 3), size, size)
            by_area = cv2.resize(box.cut(whole), (size, size), interpolation=cv2.INTER_AREA)
            found.setdefault(scale, []).append((psnr(ours, expected), psnr(by_area, expected)))
        for scale, values in sorted(found.items()):
            ours, by_area = (f"{statistics.median(v):.1f} ({min(v):.1f})" for v in zip(*values, strict=True))
            share = len(values) / len(paths)
            print(f"  {size} px, scale 1/{scale}, {share:4.0%} of crops: {ours}; full decoding + INTER_AREA {by_area}")


def resize_with_pillow(pixels: np.ndarray, box: Box, size: int) -> np.ndarray:
    cut = Image.fromarray(np.ascontiguousarray(box.cut(pixels)))
    return np.asarray(cut.resize((size, size), Image.Resampling.BILINEAR))


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    error = np.mean((a.astype(np.float64) - b) ** 2)
    return 10 * np.log10(255**2 / error) if error else 99.0


if __name__ == "__main__":
    main()
