"""Files that are broken, each named and none stopping the audit; and that an audit changes nothing."""

import hashlib
import io
import os
import struct
import zlib

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from strop.audit import audit, look


def kind_of(findings, name: str) -> str:
    """The kind of the finding that names a file."""
    [kind] = [finding.kind for finding in findings.found if name in finding.files]
    return kind


def bomb(width: int, height: int) -> bytes:
    """A PNG of a few bytes that says it has width x height pixels."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def encode(format: str, mode: str = "RGB") -> bytes:
    pixels = np.random.default_rng(0).integers(0, 255, (40, 40, 3)).astype(np.uint8)
    data = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(data, format)
    return data.getvalue()


BROKEN = {
    "empty.jpg": (b"", "empty-file"),
    "page.jpg": (b"<!DOCTYPE html><html>not found</html>", "not-a-picture"),
    "pointer.png": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "not-a-picture"),
    "cut.jpg": (encode("JPEG")[:-400], "truncated"),
    "cut.png": (encode("PNG")[:-1000], "truncated"),
    "head.png": (encode("PNG")[:20], "truncated"),
    "sum.png": (encode("PNG")[:29] + b"\0\0\0\0" + encode("PNG")[33:], "corrupt"),
    "bomb.png": (bomb(30_000, 30_000), "too-large"),
    "small-bomb.png": (bomb(8_000, 8_000), "too-large"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_each_broken_file_is_named_and_the_others_are_looked_at(paint, name):
    """A broken file among good ones: one error, with the file's name, and every other picture counted."""
    paint.classes()
    data, kind = BROKEN[name]
    (paint.root / "cat" / name).write_bytes(data)
    findings = audit(paint.root)
    assert kind_of(findings, f"cat/{name}") == kind and findings.has_errors
    assert findings.counts == {"train": {"cat": 12, "dog": 12}} and findings.pictures == 25


def test_quick_mode_finds_what_headers_tell(paint):
    """Without decoding, a file that is cut short after its header goes unseen; the rest does not."""
    paint.classes()
    for name, (data, _) in BROKEN.items():
        (paint.root / "cat" / name).write_bytes(data)
    findings = audit(paint.root, quick=True)
    told = {f.kind: set(f.files) for f in findings.found if f.severity == "error"}
    assert told["too-large"] == {"cat/bomb.png", "cat/small-bomb.png"}
    assert told["empty-file"] == {"cat/empty.jpg"} and len(told["not-a-picture"]) == 2
    assert told["corrupt"] == {"cat/sum.png"} and told["truncated"] == {"cat/head.png"}


def test_a_pipe_and_a_giant_are_not_opened(paint, monkeypatch):
    """A named pipe would wait for ever; a file beyond the limit is refused by its size."""
    paint.classes()
    os.mkfifo(paint.root / "cat/pipe.jpg")
    monkeypatch.setattr(look, "MAX_FILE_BYTES", 100_000)
    (paint.root / "cat/giant.jpg").write_bytes(b"\xff\xd8\xff" + bytes(100_000))
    findings = audit(paint.root)
    assert kind_of(findings, "cat/pipe.jpg") == "unreadable" and kind_of(findings, "cat/giant.jpg") == "too-large"


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"]),
    st.lists(st.tuples(st.integers(0, 3000), st.integers(0, 255)), min_size=1, max_size=20),
    st.integers(0, 3000),
)
def test_mutated_files_are_read_or_named(tmp_path_factory, format, changes, cut):
    """Whatever the bytes, the audit ends, and the file is either counted or in a finding."""
    root = tmp_path_factory.mktemp("mutated")
    for name in ("a", "b"):
        (root / name).mkdir()
        (root / name / "good.png").write_bytes(encode("PNG", "L" if name == "a" else "RGB"))
    data = bytearray(encode(format))
    for place, value in changes:
        data[place % len(data)] = value
    (root / "a/bad.png").write_bytes(data[: len(data) - cut % len(data)] if cut % 2 else data)
    findings = audit(root, threads=1)
    broken = {"unreadable", "empty-file", "not-a-picture", "truncated", "corrupt", "too-large"}
    named = any("a/bad.png" in f.files for f in findings.found if f.kind in broken)
    assert findings.counts["train"]["a"] == (1 if named else 2)


def fingerprint(root) -> dict:
    """Every file below root: its bytes, size, mode and time of writing."""
    return {
        str(path.relative_to(root)): (
            path.stat().st_mtime_ns,
            path.stat().st_mode,
            hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "",
        )
        for path in sorted(root.rglob("*"))
    }


@pytest.mark.parametrize("options", [{}, {"quick": True}, {"labels": True}])
def test_auditing_changes_nothing_on_disk(paint, options):
    """Names, bytes, modes and times below the folder are the same before and after, broken files among them."""
    paint.classes("train")
    paint.classes("test")
    for name, (data, _) in BROKEN.items():
        (paint.root / "train/cat" / name).write_bytes(data)
    before = fingerprint(paint.root.parent)
    audit(paint.root, **options)
    assert fingerprint(paint.root.parent) == before


def test_sixteen_bit_and_alpha_follow_the_one_way_pictures_are_read(paint):
    """A 16-bit grey picture is no white sheet, and a see-through one lies on white: neither is called blank."""
    paint.classes()
    ramp = np.linspace(0, 65535, 48 * 48).reshape(48, 48).astype(np.uint16)
    Image.fromarray(ramp).save(paint.root / "cat/deep.png")
    alpha = np.zeros((48, 48, 4), np.uint8)
    alpha[10:30, 10:30] = (200, 30, 30, 255)
    Image.fromarray(alpha).save(paint.root / "cat/alpha.png")
    findings = audit(paint.root)
    assert not findings.of("blank") and not findings.has_errors
