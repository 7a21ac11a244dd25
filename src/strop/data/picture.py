"""One picture file: recognise it by its first bytes, read its header, decode it to uint8."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import UserError

if TYPE_CHECKING:
    import numpy as np

EXTENSIONS = frozenset(["jpg", "jpeg", "png", "webp", "bmp", "gif", "tif", "tiff", "ppm"])
FORMATS = ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM"]
MAX_PIXELS = 50_000_000
_STARTS = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF87a", b"GIF89a", b"BM", b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_GREY_MODES = frozenset(["1", "L", "LA", "La", "I", "I;16", "I;16B", "I;16L", "I;16N", "F"])
_ORIENTATION = 0x0112


def is_picture_name(name: str) -> bool:
    """Whether a file's extension is that of a picture; case does not matter."""
    return Path(name).suffix[1:].lower() in EXTENSIONS


def explain_no_picture(head: bytes) -> str | None:
    """Say what a file is when its first bytes (64 or so) are not those of a picture; None when they are.

    >>> explain_no_picture(b"")
    'it is empty (0 bytes)'
    """
    if head.startswith(_STARTS) or (head[:4] == b"RIFF" and head[8:12] == b"WEBP"):
        return None
    if len(head) > 2 and head[:1] == b"P" and head[1:2] in b"123456" and head[2:3].isspace():
        return None
    if not head:
        return "it is empty (0 bytes)"
    if head.startswith(b"version https://git-lfs"):
        return "it is a Git LFS pointer, not the picture; run git lfs pull"
    start = head.lstrip(b"\xef\xbb\xbf \r\n\t").lower()
    if start.startswith((b"<!doctype html", b"<html", b"<head")):
        return "it is an HTML page, probably of a failed download; fetch it again"
    if head[4:8] == b"ftyp":
        return "it is HEIC, AVIF or video; convert it to JPEG or PNG"
    if all(byte >= 32 or byte in b"\t\r\n" for byte in head):
        return "it is text"
    return "it starts like none of JPEG, PNG, WebP, GIF, BMP, TIFF, PPM"


def read_shape(path: Path) -> tuple[int, int, int]:
    """Height, width and channels (1 grey, 3 colour) from the header, as `read_pixels` would give them.

    Raises:
        UserError: the header can't be read, or the picture has more than 50 million pixels.
    """
    try:
        with _open(path) as image:
            width, height = image.size
            if _orientation(image) in (5, 6, 7, 8):
                width, height = height, width
            return height, width, 1 if image.mode in _GREY_MODES else 3
    except UserError:
        raise
    except Exception as error:  # Pillow raises SyntaxError, struct.error, ValueError and more beside OSError
        raise _undecodable(path, error) from error


def read_pixels(path: Path) -> np.ndarray:
    """Decode a picture upright: EXIF rotation applied, alpha laid on white, 16 bits cut to the upper 8.

    Shape:
        Returns: (H, W, 1) for grey pictures, else (H, W, 3) in RGB order, uint8, contiguous. First frame only.
    Raises:
        UserError: the picture can't be decoded, or has more than 50 million pixels.
    """
    import numpy as np

    try:
        with _open(path) as image:
            image.load()
            pixels = _to_uint8(image, path)
            return np.ascontiguousarray(turn(pixels, _orientation(image)))
    except UserError:
        raise
    except Exception as error:  # as above; a broken file must never end in a traceback
        raise _undecodable(path, error) from error


def _open(path: Path):
    from PIL import Image

    image = Image.open(path, formats=FORMATS)
    if image.width * image.height > MAX_PIXELS:
        size = f"{image.width} x {image.height}"
        image.close()
        raise UserError(str(path), f"{size} pixels are more than the {MAX_PIXELS:,} that strop reads. Make it smaller.")
    return image


def _undecodable(path: Path, error: Exception) -> UserError:
    reason = str(error).replace(str(path), path.name) or type(error).__name__
    return UserError(str(path), f"can't be decoded ({reason}). Replace or remove the file.")


def _orientation(image) -> int:
    """The EXIF orientation, 1 to 8; a broken EXIF block turns nothing, as in every viewer."""
    if image.format == "TIFF":  # Pillow gives the upright size and turns the pixels itself
        return 1
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # the parser raises whatever the broken bytes lead it to
        return 1


def turn(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Undo an EXIF orientation: 2 to 4 mirror or turn by 180 degrees, 5 to 8 swap height and width."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return pixels


def _to_uint8(image, path: Path) -> np.ndarray:
    import numpy as np

    if image.mode == "F":
        raise UserError(str(path), "floating-point pixels have no agreed range. Save it with 8 bits a channel.")
    if image.mode.startswith("I"):
        return (np.clip(np.asarray(image).astype(np.int64), 0, 65535) >> 8).astype(np.uint8)[:, :, None]
    grey = image.mode in _GREY_MODES
    if image.mode in ("LA", "La", "RGBA", "RGBa", "PA") or "transparency" in image.info:
        image = _lay_on_white(image)
    mode = "L" if grey else "RGB"
    pixels = np.asarray(image if image.mode == mode else image.convert(mode))  # convert would copy
    return pixels[:, :, None] if grey else pixels


def _lay_on_white(image):
    from PIL import Image

    image = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
