"""Decode only what a crop of a JPEG needs: at a smaller scale where that is enough, and no row below the crop.

For training only. Evaluation decodes the whole picture (`picture.read_pixels`), so what is measured never depends on
what is done here. A file that this module does not take is None, and decoded the other way.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

from .geometry import Box
from .picture import MAX_PIXELS, turn

if TYPE_CHECKING:
    import numpy as np

LARGEST_FILE = 16_000_000
_SCALES = (8, 4, 2)
_SEQUENTIAL, _PROGRESSIVE = (0xC0, 0xC1), 0xC2
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_TAIL = 4096
_EXIF, _XMP = b"Exif\0\0", b"http://ns.adobe.com/xap/1.0/\0"
_IN_XMP = re.compile(rb'tiff:Orientation(?:="|>)([0-9])')
_START = b"\xff\xd8\xff"


@dataclass(frozen=True)
class Jpeg:
    """A JPEG file in memory, and what its header says.

    Attributes:
        data: the bytes.
        stored: height and width before the EXIF rotation.
        grey: one component instead of three.
        orientation: of EXIF, 1 to 8.
        height_at: where the header holds the height.
        band: rows that are coded together; 0 where rows can't be left out (more than one scan).
    """

    data: bytes
    stored: tuple[int, int]
    grey: bool
    orientation: int
    height_at: int
    band: int

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width as it is shown."""
        return self.stored[::-1] if self.orientation >= 5 else self.stored

    def decode(self, box: Box, size: int, channels: int) -> np.ndarray | None:
        """The part of the picture inside a box, at the smallest scale of 1, 1/2, 1/4, 1/8 that shows `size` pixels.

        At a smaller scale the box is widened to whole pixels of that scale (`snap`).

        Args:
            box: in pixels of the upright picture, inside `shape`.
            size: no side of the result is smaller, unless the box's is.
            channels: 1 gives luma, as the file stores it, of a colour picture.
        Shape:
            Returns: (h, w, 1 or 3) uint8, or None where the decoder refuses the file.
        """
        import simplejpeg

        stored = self._unturn(box)
        scale = choose_scale(stored, size)
        part = snap(stored, scale, self.stored)
        rows = self._rows(part.top + part.height, scale)
        least = {"min_height": -(-rows // scale), "min_width": -(-self.stored[1] // scale), "min_factor": scale}
        try:
            pixels = simplejpeg.decode_jpeg(
                self._shortened(rows),
                "GRAY" if self.grey or channels == 1 else "RGB",
                strict=rows == self.stored[0],  # a shortened picture ends before its data, which is worth a warning
                **(least if scale > 1 else {}),
            )
        except ValueError:
            return None
        if pixels.shape[:2] != (least["min_height"], least["min_width"]):
            return None
        inside = Box(part.top // scale, part.left // scale, -(-part.height // scale), -(-part.width // scale))
        return turn(inside.cut(pixels), self.orientation)

    def _unturn(self, box: Box) -> Box:
        """Where a box of the upright picture lies in the stored one."""
        top, left, height, width = box
        if self.orientation in (3, 4, 7, 8):
            top = self.shape[0] - top - height
        if self.orientation in (2, 3, 6, 7):
            left = self.shape[1] - left - width
        return Box(left, top, width, height) if self.orientation >= 5 else Box(top, left, height, width)

    def _rows(self, bottom: int, scale: int) -> int:
        """How many rows to decode: whole bands, and two rows below the box, from which its colours are smoothed."""
        if not self.band:
            return self.stored[0]
        return min(self.stored[0], -(-(bottom + 2 * scale) // self.band) * self.band)

    def _shortened(self, rows: int) -> bytes | bytearray:
        """The file with a smaller height in its header: the decoder stops there and skips the rest of the data."""
        if rows == self.stored[0]:
            return self.data
        shortened = bytearray(self.data)
        shortened[self.height_at : self.height_at + 2] = rows.to_bytes(2, "big")
        return shortened


def choose_scale(box: Box, size: int) -> int:
    """The largest of 8, 4, 2, 1 that leaves at least `size` pixels on both sides of the box."""
    return next((scale for scale in _SCALES if min(box.height, box.width) >= scale * size), 1)


def snap(box: Box, scale: int, shape: tuple[int, int]) -> Box:
    """Widen a box to multiples of `scale`, inside a picture of height and width `shape`."""
    if scale == 1:
        return box
    top, left = box.top // scale * scale, box.left // scale * scale
    bottom, right = -(-(box.top + box.height) // scale) * scale, -(-(box.left + box.width) // scale) * scale
    return Box(top, left, min(bottom, shape[0]) - top, min(right, shape[1]) - left)


def open_jpeg(file: BinaryIO) -> Jpeg | None:
    """Read an opened file and its header; None where it is no JPEG for this module. Raises OSError."""
    start = file.read(len(_START))
    if start != _START or file.seek(0, os.SEEK_END) > LARGEST_FILE:
        return None
    file.seek(0)
    return read_header(file.read())


def read_header(data: bytes) -> Jpeg | None:
    """Walk the segments up to the first scan.

    None for what is left to the exact way: 12 bits, lossless, arithmetic coding, four components (CMYK), a height
    that comes later, more than 50 million pixels, a file whose end is missing, and whatever is malformed.
    """
    frame, exif, xmp, at = None, b"", b"", 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF:  # any number of these may stand before a marker
            at += 1
            continue
        if marker == 0xDA:
            whole = data.rfind(b"\xff\xd9", max(at, len(data) - _TAIL)) > 0
            return _describe(data, frame, _orientation(exif, xmp), data[at + 4]) if frame and whole else None
        length = int.from_bytes(data[at + 2 : at + 4], "big")
        if length < 2 or (marker in _FRAMES and frame):
            return None
        if marker in _FRAMES:
            frame = at
        elif marker == 0xE1 and data.startswith(_EXIF, at + 4):
            if exif:
                return None  # in several pieces
            exif = data[at + 4 : at + 2 + length]
        elif marker == 0xE1 and data.startswith(_XMP, at + 4):
            xmp = data[at + 4 : at + 2 + length]
        at += 2 + length
    return None


def _describe(data: bytes, frame: int, orientation: int, parts_in_scan: int) -> Jpeg | None:
    kind, head = data[frame + 1], data[frame + 4 : frame + 10]
    if len(head) < 6 or head[0] != 8 or head[5] not in (1, 3):
        return None
    height, width, parts = int.from_bytes(head[1:3], "big"), int.from_bytes(head[3:5], "big"), head[5]
    if kind not in (*_SEQUENTIAL, _PROGRESSIVE) or not 0 < height * width <= MAX_PIXELS:
        return None
    tallest = max((sampling & 15 for sampling in data[frame + 11 : frame + 11 + 3 * parts : 3]), default=0)
    band = 8 * tallest if kind in _SEQUENTIAL and parts_in_scan == parts else 0
    return Jpeg(data, (height, width), parts == 1, orientation, frame + 5, band)


def _orientation(exif: bytes, xmp: bytes) -> int:
    """From EXIF, or where that has none from XMP, as Pillow does it for `picture.read_pixels`."""
    found = _exif_orientation(exif) if exif else None
    if found is None and (match := _IN_XMP.search(xmp)):
        found = int(match[1])
    return found if found in range(1, 9) else 1


def _exif_orientation(segment: bytes) -> int | None:
    from PIL import Image

    block = Image.Exif()
    try:
        block.load(segment)
        found = block.get(0x0112)
        return None if found is None else int(found)
    except Exception:  # as in picture.py: a broken block turns nothing, whatever the parser raises
        return 1
