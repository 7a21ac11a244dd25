"""One encoded picture: recognise it by its first bytes, read its header, decode it to uint8."""

from __future__ import annotations

import errno
import os
import re
import stat
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from ..errors import UserError
from .formats import FORMATS, HEAD_BYTES, explain_no_picture

if TYPE_CHECKING:
    import numpy as np

MAX_PIXELS = 50_000_000
MAX_FILE_BYTES = 500_000_000
WHITE = "white"
_COLOURS = {"white": (255, 255, 255), "black": (0, 0, 0)}
_GREY_MODES = frozenset(["1", "L", "LA", "La", "I", "I;16", "I;16B", "I;16L", "I;16N", "F"])
_ORIENTATION = 0x0112


def parse_colour(text: str) -> tuple[int, int, int]:
    """What transparent parts are laid on: "white", "black" or "#rrggbb". Raises UserError for anything else.

    >>> parse_colour("#ff8000")
    (255, 128, 0)
    """
    if text in _COLOURS:
        return _COLOURS[text]
    if re.fullmatch(r"#[0-9a-fA-F]{6}", text):
        return tuple(bytes.fromhex(text[1:]))
    raise UserError("data.alpha", f"'{text}' is no colour. Write white, black or one as '#ff8000'.")


def open_regular(path: str | os.PathLike) -> BinaryIO:
    """Open a file to read. Raises OSError, also for a pipe or a device, which might be waited for without end."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "it is not a regular file", os.fspath(path))
    return os.fdopen(descriptor, "rb")


def read_shape(path: Path) -> tuple[int, int, int]:
    """`decode_shape` of a file."""
    with _open_to_decode(path) as file:
        return decode_shape(file, str(path))


def read_pixels(path: Path, alpha: str = WHITE) -> np.ndarray:
    """`decode_pixels` of a file."""
    with _open_to_decode(path) as file:
        return decode_pixels(file, str(path), alpha)


def _open_to_decode(path: Path) -> BinaryIO:
    try:
        return open_regular(path)
    except OSError as error:
        raise unreadable(str(path), error) from error


def unreadable(where: str, error: OSError) -> UserError:
    """What to raise for bytes that can't be had at all."""
    return UserError(where, f"can't be read: {error.strerror or error}.")


def decode_shape(file: BinaryIO, where: str) -> tuple[int, int, int]:
    """Height, width and channels (1 grey, 3 colour) from the header, as `decode_pixels` would give them.

    Args:
        file: the encoded picture, from its first byte on.
        where: what a message calls it.
    Raises:
        UserError: the header can't be read, or the picture is larger than `decode_pixels` takes.
    """
    try:
        with _open(file, where) as image:
            width, height = image.size
            if _orientation(image) in (5, 6, 7, 8):
                width, height = height, width
            return height, width, 1 if image.mode in _GREY_MODES else 3
    except UserError:
        raise
    except Exception as error:  # Pillow raises SyntaxError, struct.error, ValueError and more beside OSError
        raise _undecodable(file, where, error) from error


def decode_pixels(file: BinaryIO, where: str, alpha: str = WHITE) -> np.ndarray:
    """Decode a picture upright: EXIF rotation applied, alpha laid on a colour, 16 bits cut to the upper 8.

    Args:
        file: the encoded picture, from its first byte on.
        where: what a message calls it.
        alpha: colour below transparent parts, as `parse_colour` takes it; a grey picture gets its luma.
    Shape:
        Returns: (H, W, 1) for grey pictures, else (H, W, 3) in RGB order, uint8, contiguous. First frame only.
    Raises:
        UserError: the picture can't be decoded, has more than 50 million pixels, or more than 500 MB.
    """
    import numpy as np

    try:
        with _open(file, where) as image:
            image.load()
            pixels = _to_uint8(image, where, alpha)
            return np.ascontiguousarray(turn(pixels, _orientation(image)))
    except UserError:
        raise
    except Exception as error:  # as above; a broken file must never end in a traceback
        raise _undecodable(file, where, error) from error


def _open(file: BinaryIO, where: str):
    from PIL import Image

    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    if size > MAX_FILE_BYTES:
        raise UserError(
            where, f"{size:,} bytes are more than the {MAX_FILE_BYTES:,} that strop reads. Make it smaller."
        )
    try:
        image = Image.open(file, formats=FORMATS)
    except Image.DecompressionBombError:
        raise UserError(
            where, f"its pixels are more than the {MAX_PIXELS:,} that strop reads. Make it smaller."
        ) from None
    if image.width * image.height > MAX_PIXELS:
        sides = f"{image.width} x {image.height}"
        image.close()
        raise UserError(where, f"{sides} pixels are more than the {MAX_PIXELS:,} that strop reads. Make it smaller.")
    return image


def _undecodable(file: BinaryIO, where: str, error: Exception) -> UserError:
    """Pillow's sentence; where it did not know the format, which one it is."""
    from PIL import UnidentifiedImageError

    reason = str(error) or type(error).__name__
    if isinstance(error, UnidentifiedImageError):  # its sentence names an object in memory
        reason = _explain(file) or "its header is damaged"
    return UserError(where, f"can't be decoded ({reason}). Replace or remove it.")


def _explain(file: BinaryIO) -> str | None:
    try:
        file.seek(0)
        return explain_no_picture(file.read(HEAD_BYTES))
    except (OSError, ValueError):  # it was closed by the decoder, or vanished
        return None


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


def _to_uint8(image, where: str, alpha: str) -> np.ndarray:
    import numpy as np

    if image.mode == "F" or (image.mode == "I" and image.format == "TIFF"):
        kind = "floating-point" if image.mode == "F" else "32-bit"
        raise UserError(where, f"{kind} pixels have no agreed range. Save it with 8 bits a channel.")
    if image.mode.startswith("I"):
        return (np.clip(np.asarray(image).astype(np.int64), 0, 65535) >> 8).astype(np.uint8)[:, :, None]
    grey = image.mode in _GREY_MODES
    if image.mode in ("LA", "La", "RGBA", "RGBa", "PA") or "transparency" in image.info:
        image = _lay_on(image, parse_colour(alpha))
    mode = "L" if grey else "RGB"
    pixels = np.asarray(image if image.mode == mode else image.convert(mode))  # convert would copy
    return pixels[:, :, None] if grey else pixels


def _lay_on(image, colour: tuple[int, int, int]):
    from PIL import Image

    image = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", image.size, (*colour, 255)), image).convert("RGB")
