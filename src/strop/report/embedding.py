"""Pictures inside the page: read, made smaller where they are large, written as data URIs. Their sum is bounded."""

from __future__ import annotations

import base64
from io import BytesIO
from pathlib import Path

MOST_BYTES = 400_000
"""Of one picture in the page; a larger one is drawn again as JPEG."""
WIDEST = 1400
_PIXELS = 40_000_000
_QUALITIES = (85, 70, 50)


def embed_picture(path: Path) -> str | None:
    """A data URI of at most 400 kB; None where there is no picture that can be read, or none that becomes so small."""
    from PIL import Image

    try:
        with Image.open(path, formats=["PNG"]) as opened:
            if opened.width * opened.height > _PIXELS:
                return None
            if path.stat().st_size <= MOST_BYTES:
                opened.verify()
                return _uri(path.read_bytes(), "png")
            picture = opened.convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None
    picture.thumbnail((WIDEST, WIDEST * 4))
    for quality in _QUALITIES:
        out = BytesIO()
        picture.save(out, "JPEG", quality=quality)
        if out.tell() <= MOST_BYTES:
            return _uri(out.getvalue(), "jpeg")
    return None


def _uri(content: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
