"""Damaged picture files out of a number, and a child process that reads them all the way strop does.

    python mutants.py COUNTER FIRST COUNT

COUNTER is a file whose first eight bytes always hold the number of the mutant that is being read; so where the process
dies, the mutant is known: `mutate(number)` makes it again. On stdout: one JSON object with what became of them.
"""

from __future__ import annotations

import io
import json
import mmap
import random
import resource
import sys
import time
import warnings
import zlib
from functools import cache, lru_cache

import numpy as np
from PIL import Image

from strop.data.encoded import EncodedSplit
from strop.data.geometry import Box
from strop.data.jpeg import open_jpeg
from strop.errors import UserError

EDGES = (0, 1, 2, 0x7F, 0x80, 0xFE, 0xFF)


@cache
def seeds() -> tuple[tuple[str, bytes], ...]:
    """Whole pictures of each format and each way of storing them that Pillow writes, a few hundred bytes each."""
    noise = np.random.default_rng(0).integers(0, 256, (12, 14, 4), dtype=np.uint8)
    rgba, deep = Image.fromarray(noise), Image.fromarray(noise[:, :, 0].astype(np.uint16) * 257)
    rgb, grey, bit = rgba.convert("RGB"), rgba.convert("L"), rgba.convert("1")
    palette, cmyk = rgb.quantize(16), rgb.convert("CMYK")
    exif = Image.Exif()
    exif[0x0112] = 6
    ways = {
        "JPEG": [
            (rgb, {}),
            (rgb, {"progressive": True}),
            (grey, {}),
            (cmyk, {}),
            (rgb, {"exif": exif}),
            (rgb, {"subsampling": 0, "restart_marker_blocks": 1}),
        ],
        "PNG": [
            (rgb, {}),
            (rgba, {}),
            (grey, {}),
            (palette, {"transparency": 3}),
            (deep, {}),
            (bit, {}),
            (rgb, {"exif": exif}),
        ],
        "WEBP": [(rgb, {}), (rgba, {}), (rgb, {"lossless": True})],
        "GIF": [(palette, {}), (palette, {"save_all": True, "append_images": [palette.rotate(90)], "transparency": 1})],
        "BMP": [(rgb, {}), (palette, {}), (bit, {}), (rgba, {})],
        "TIFF": [
            (rgb, {}),
            (rgba, {"compression": "tiff_lzw"}),
            (deep, {}),
            (bit, {"compression": "group4"}),
            (rgb, {"compression": "tiff_adobe_deflate"}),
            (rgb, {"compression": "jpeg"}),
            (palette, {"exif": exif}),
            (grey, {"compression": "packbits"}),
        ],
        "PPM": [(rgb, {}), (grey, {}), (bit, {}), (deep, {})],
    }
    made = []
    for format, options in ways.items():
        for image, how in options:
            file = io.BytesIO()
            image.save(file, format, **how)
            made.append((format.lower(), file.getvalue()))
    plain = " ".join(map(str, noise[:4, :4, :3].ravel()))
    return (*made, ("ppm", f"P3 4 4 255 {plain}".encode()), ("ppm", f"P2 4 4 255 {plain}".encode()))


@lru_cache(1)
def mutate(number: int) -> tuple[str, bytes]:
    """Name and bytes of a mutant: one of the seeds with a few bytes changed, cut, moved, doubled or from another."""
    draw = random.Random(number)
    format, whole = seeds()[number % len(seeds())]
    data = bytearray(whole)
    for _ in range(draw.choice((1, 1, 2, 4, 12))):
        # Headers steer the decoders, so half of the changes are there.
        at = draw.randrange(min(len(data), 64) if draw.random() < 0.5 else len(data)) if data else 0
        end = at + draw.randrange(1, 9)
        match draw.randrange(8):
            case 0 | 1:
                data[at:end] = draw.randbytes(end - at)
            case 2 | 3:
                data[at : at + 1] = bytes([draw.choice(EDGES)])
            case 4:
                data[at : at + 1] = bytes([data[at] ^ 1 << draw.randrange(8)]) if data else b""
            case 5:
                del data[at : at + draw.choice((1, 4, 40, len(data)))]
            case 6:
                data[at:at] = data[at : at + draw.choice((1, 4, 40))]
            case 7:
                other = draw.choice(seeds())[1]
                data[at:] = other[draw.randrange(len(other)) :] if draw.random() < 0.2 else data[at:]
    sound = format == "png" and draw.random() < 0.5
    return f"mutant-{number:07d}.{format}", _sum_again(data) if sound else bytes(data)


def _sum_again(png: bytearray) -> bytes:
    """With the sums of all chunks as they should be: else nearly every change ends at the first sum."""
    at = 8
    while at + 12 <= len(png):
        end = at + 8 + int.from_bytes(png[at : at + 4], "big")
        if end + 4 > len(png):
            break
        png[end : end + 4] = zlib.crc32(png[at + 4 : end]).to_bytes(4, "big")
        at = end + 4
    return bytes(png)


class Mutants(EncodedSplit):
    """Mutants as the pictures of a split, made when they are asked for."""

    def __init__(self, first: int, count: int):
        self.names = [f"mutant-{number:07d}" for number in range(first, first + count)]
        self.labels, self.first = np.zeros(count, np.int64), first

    def open(self, i: int) -> io.BytesIO:
        return io.BytesIO(mutate(self.first + i)[1])

    def where(self, i: int) -> str:
        return self.names[i]

    def take(self, indices, labels):
        raise NotImplementedError


def read(mutants: Mutants, i: int) -> str:
    """Read it whole, its header, and a crop of it as training does: "read", "refused", or what should not be."""
    try:
        pixels = mutants.pixels(i)
        outcome = "read"
        if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] not in (1, 3) or not pixels.size:
            outcome = f"pixels of {pixels.dtype} {pixels.shape}"
        if mutants.shape(i) != pixels.shape:
            outcome = f"shape {mutants.shape(i)} for {pixels.shape}"
    except UserError as error:
        said = str(error)
        named = said.startswith(f"{mutants.where(i)}: ") and "<_io" not in said and said.isprintable()
        outcome = "refused" if named else f"badly said: {said!r}"
    except Exception as error:  # any other is what this test looks for
        outcome = f"{type(error).__name__}: {error}"
    jpeg = open_jpeg(mutants.open(i))
    if jpeg is not None:
        height, width = jpeg.shape
        jpeg.decode(Box(height // 4, width // 4, max(1, height // 2), max(1, width // 2)), 4, 3)
    return outcome


def main(counter: str, first: int, count: int) -> None:
    warnings.simplefilter("ignore")
    mutants, outcomes, slowest, wrong = Mutants(first, count), {}, (0.0, first), []
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with open(counter, "r+b") as file, mmap.mmap(file.fileno(), 8) as place:
        for i in range(count):
            place[:8] = (first + i).to_bytes(8, "little")
            start = time.process_time()
            outcome = read(mutants, i)
            slowest = max(slowest, (time.process_time() - start, first + i))
            format = seeds()[(first + i) % len(seeds())][0]
            if outcome not in ("read", "refused"):
                wrong.append((first + i, outcome))
                outcome = "wrong"
            outcomes[f"{format} {outcome}"] = outcomes.get(f"{format} {outcome}", 0) + 1
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    print(json.dumps({"outcomes": outcomes, "wrong": wrong[:20], "slowest": slowest, "grown": grown}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
