"""Which formats are read, and what a file is that has none of them: told by its first bytes."""

from __future__ import annotations

from pathlib import Path

EXTENSIONS = frozenset(["jpg", "jpeg", "png", "webp", "bmp", "gif", "tif", "tiff", "ppm"])
FORMATS = ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM"]
HEAD_BYTES = 64
_STARTS = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF87a", b"GIF89a", b"BM", b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_OTHERS = {
    b"%!PS": "an EPS drawing",
    b"%PDF": "a PDF document",
    b"8BPS": "a Photoshop file",
    b"gimp xcf": "a GIMP file",
    b"\0\0\0\x0cjP  ": "a JPEG 2000 picture",
    b"\xff\x4f\xff\x51": "a JPEG 2000 picture",
    b"\0\0\0\x0cJXL ": "a JPEG XL picture",
    b"\xff\x0a": "a JPEG XL picture",
    b"\0\0\1\0": "a Windows icon",
    b"icns": "an icon of macOS",
    b"DDS ": "a DDS texture",
    b"qoif": "a QOI picture",
    b"SIMPLE  =": "a FITS picture",
    b"\x76\x2f\x31\x01": "an OpenEXR picture",
    b"\x01\xda": "an SGI picture",
    b"\x59\xa6\x6a\x95": "a Sun raster picture",
    b"\x93NUMPY": "a NumPy array",
    b"\x89HDF": "an HDF5 file",
    b"PK\3\4": "a ZIP archive",
    b"\x1f\x8b": "a gzip archive",
}


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
    if start.startswith((b"<svg", b"<?xml")):
        return "it is an SVG drawing or other XML; convert it to JPEG or PNG"
    if head[4:8] == b"ftyp":
        return "it is HEIC, AVIF or video; convert it to JPEG or PNG"
    other = next((name for magic, name in _OTHERS.items() if head.startswith(magic)), None)
    if other:
        return f"it is {other}; convert it to JPEG or PNG"
    if all(byte >= 32 or byte in b"\t\r\n" for byte in head):
        return "it is text"
    return "it starts like none of JPEG, PNG, WebP, GIF, BMP, TIFF, PPM"
