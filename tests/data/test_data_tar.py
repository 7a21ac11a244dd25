"""The walk over a tar's headers: the same files as tarfile finds, and a clear error for whatever is damaged."""

import io
import os
import tarfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strop.data.tar import read_members
from strop.errors import UserError

FORMATS = {"ustar": tarfile.USTAR_FORMAT, "gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT}


def pack(files: dict[str, bytes], format: str = "pax", **about) -> bytes:
    """A tar of regular files; `about` sets fields of every header."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=FORMATS[format]) as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            for field, value in about.items():
                setattr(info, field, value)
            tar.addfile(info, io.BytesIO(content) if info.isreg() else None)
    return made.getvalue()


def walk(path, data: bytes) -> list[tuple[str, bytes]]:
    path.write_bytes(data)
    with open(path, "rb") as file:
        found = list(read_members(file.fileno(), str(path)))
        assert [os.pread(file.fileno(), m.size, m.start) for m in found] == [m.read(file.fileno()) for m in found]
        return [(member.name, member.read(file.fileno())) for member in found]


@pytest.mark.parametrize("format", FORMATS)
def test_the_files_are_those_that_tarfile_finds(tmp_path, format):
    """Empty files, whole blocks, long and Unicode names; ustar holds names up to 256 bytes, the others any."""
    long = "folder/" * 20 + "picture.jpg" if format == "ustar" else "d" * 90 + "/" + "long" * 100 + ".jpg"
    files = {"a.jpg": b"x", "b.txt": b"", "c": bytes(512), "d": os.urandom(5000), "käse/é.png": b"y" * 513, long: b"z"}
    data = pack(files, format)
    assert walk(tmp_path / "a.tar", data) == list(files.items())
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        places = [(member.name, member.offset_data, member.size) for member in tar]
    with open(tmp_path / "a.tar", "rb") as file:
        assert [(m.name, m.start, m.size) for m in read_members(file.fileno(), "a.tar")] == places


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"), min_size=1,
                                  max_size=300), st.binary(max_size=1200)), max_size=6))  # fmt: skip
def test_any_names_and_contents_come_back(tmp_path_factory, files):
    named = {f"{number}/{name}".rstrip("/"): content for number, (name, content) in enumerate(files)}
    path = tmp_path_factory.mktemp("tar") / "a.tar"
    assert walk(path, pack(named)) == list(named.items())


def test_folders_and_global_headers_are_passed_over(tmp_path):
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=tarfile.PAX_FORMAT, pax_headers={"comment": "by hand"}) as tar:
        folder = tarfile.TarInfo("cats")
        folder.type = tarfile.DIRTYPE
        tar.addfile(folder)
        info = tarfile.TarInfo("cats/1.jpg")
        info.size = 1
        tar.addfile(info, io.BytesIO(b"x"))
    assert walk(tmp_path / "a.tar", made.getvalue()) == [("cats/1.jpg", b"x")]


@pytest.mark.parametrize("kind, words", [(tarfile.LNKTYPE, "hard link"), (tarfile.SYMTYPE, "symbolic link"),
                                         (tarfile.CHRTYPE, "device"), (tarfile.FIFOTYPE, "pipe")])  # fmt: skip
def test_only_plain_files_are_taken(tmp_path, kind, words):
    with pytest.raises(UserError, match=rf"a\.tar: 'x\.jpg' is a {words}\. Only plain files are read from a tar\."):
        walk(tmp_path / "a.tar", pack({"x.jpg": b""}, type=kind, linkname="/etc/passwd"))


def test_every_cut_is_found_and_named(tmp_path):
    """At each multiple of 64 bytes up to the closing blocks: never fewer pictures in silence."""
    data = pack({"1.jpg": b"a" * 700, "1.cls": b"0", "2.jpg": b"b" * 30, "2.cls": b"1"})
    ends = len(data.rstrip(b"\0")) // 512 * 512 + 512  # the closing blocks begin here
    for length in range(0, ends + 1, 64):
        with pytest.raises(UserError, match=r"cut\.tar: is cut short: .* Fetch it again, or write it again\."):
            walk(tmp_path / "cut.tar", data[:length])
    assert len(walk(tmp_path / "cut.tar", data[: ends + 512])) == 4


def test_what_is_no_tar_says_what_to_do(tmp_path):
    data = bytearray(pack({"1.jpg": b"a", "2.jpg": b"b"}))
    for start, words in ((b"\x1f\x8b", "compressed tar has to be unpacked"), (b"hello", "is no tar. Fetch it again")):
        with pytest.raises(UserError, match=words):
            walk(tmp_path / "a.tar", start + bytes(data))
    data[1024] ^= 1  # the name of the second file: the sum over its header does not fit any more
    with pytest.raises(UserError, match=r"is damaged: there is no header at byte 1,024\."):
        walk(tmp_path / "a.tar", bytes(data))
    whole = pack({"1.jpg": b"a"})
    with pytest.raises(UserError, match="there is more behind its end at byte 1,024"):
        walk(tmp_path / "a.tar", whole + whole)


def set_size(data: bytes, field: bytes) -> bytes:
    """The first header with another size field and the sum that belongs to it."""
    return set_field(data, 124, field)


def set_field(data: bytes, at: int, field: bytes) -> bytes:
    """The first header with other bytes at a place and the sum that belongs to them."""
    header = bytearray(data[:512])
    header[at : at + len(field)], header[148:156] = field, b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header) + data[512:]


@pytest.mark.parametrize("field", [b"-0000000777\0", b"+0000000777\0", b"0x000000777\0", b"\xff" * 12])
def test_a_size_below_zero_is_no_size(tmp_path, field):
    """It would lead the walk backwards, for ever."""
    with pytest.raises(UserError, match="is no tar"):
        walk(tmp_path / "a.tar", set_size(pack({"1.jpg": b"a"}), field))


def test_sizes_in_base_256_count(tmp_path):
    """How GNU tar writes sizes of 8 GB and more."""
    data = pack({"1.jpg": b"abc"})
    assert walk(tmp_path / "a.tar", set_size(data, b"\x80" + (3).to_bytes(11, "big"))) == [("1.jpg", b"abc")]
    with pytest.raises(UserError, match="is cut short: '1.jpg' at byte 512 needs 18,446,744,073,709,551,616 bytes"):
        walk(tmp_path / "a.tar", set_size(data, b"\x80" + (2**64).to_bytes(11, "big")))


@pytest.mark.parametrize(
    "record",
    [b"12 path=abc", b"99 path=a\n", b"x path=a\n", b"11 nothing\n", b"9 size=-\n", b"24 GNU.sparse.major=1\n\n"],
)
def test_extra_headers_are_checked(tmp_path, record):
    data = pack({"extra": record})
    with pytest.raises(UserError, match="its extra header at byte 512 is not readable"):
        walk(tmp_path / "a.tar", set_field(data, 156, b"x"))


def test_what_an_extra_header_says_is_for_the_next_file_not_for_the_next_header(tmp_path):
    """A pax header with a name and a size, a global one of 9 bytes, and a file whose own header has the size 0."""

    def entry(content: bytes) -> bytes:
        return pack({"name": content})[: 512 + -(-len(content) // 512) * 512]

    said, other, file = entry(b"14 path=a.jpg\n12 size=700\n"), entry(b"9 a=b12\n\n"), entry(b"y" * 700)
    data = set_field(said, 156, b"x") + set_field(other, 156, b"g") + set_size(file, b"00000000000\0") + bytes(1024)
    assert walk(tmp_path / "a.tar", data) == [("a.jpg", b"y" * 700)]
