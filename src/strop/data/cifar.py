"""CIFAR's two file formats: the binary one, which is plain bytes, and the one for Python, which is not trusted.

Source: Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009.
"""

from __future__ import annotations

import hashlib
import tarfile
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import UserError
from .home import find_set
from .opcodes import read_record
from .source import ArraySplit, Source

if TYPE_CHECKING:
    import numpy as np

_PIXELS = 3 * 32 * 32
_LIMIT_BYTES = 400_000_000


@dataclass(frozen=True)
class Cifar:
    """What differs between CIFAR-10 and CIFAR-100.

    Attributes:
        name: of the set.
        classes: in label order.
        binary, python: folder of each version, as in its archive.
        train, test: file names; ".bin" follows in the binary version.
        label_bytes: bytes before each picture in the binary version; the last of them is the label.
        label_key: where the labels are in the version for Python.
        archive, md5: the binary version's archive.
        torchvision: name of the class there that knows the archive's address and the md5 of the Python files.
    """

    name: str
    classes: tuple[str, ...]
    binary: str
    python: str
    train: tuple[str, ...]
    test: str
    label_bytes: int
    label_key: str
    archive: str
    md5: str
    torchvision: str

    def files(self) -> tuple[str, ...]:
        return (*self.train, self.test)


def open_cifar(cifar: Cifar) -> Source:
    """Find CIFAR's files in either version, or as the binary archive, and read them; nothing is ever unpickled.

    Raises:
        UserError: they are nowhere, or damaged.
    """
    folder = find_set(
        cifar.name,
        [cifar.binary, cifar.python, "."],
        lambda place: _has_binary(cifar, place) or _has_archive(cifar, place) or _has_python(cifar, place),
        files=cifar.archive,
        fetch=lambda root: _download(cifar, root),
    )
    if _has_binary(cifar, folder):
        parts = {name: _parse_binary(cifar, folder / f"{name}.bin") for name in cifar.files()}
    elif _has_archive(cifar, folder):
        parts = _read_archive(cifar, folder / cifar.archive)
    else:
        parts = {name: _parse_python(cifar, folder / name) for name in cifar.files()}
    splits = {"train": _join(cifar, "train", (parts[name] for name in cifar.train))}
    splits["test"] = _join(cifar, "test", [parts[cifar.test]])
    return Source(cifar.name, None, cifar.classes, splits)


def _has_binary(cifar: Cifar, folder: Path) -> bool:
    return all((folder / f"{name}.bin").is_file() for name in cifar.files())


def _has_archive(cifar: Cifar, folder: Path) -> bool:
    return (folder / cifar.archive).is_file()


def _has_python(cifar: Cifar, folder: Path) -> bool:
    # CIFAR-100's files are called "train" and "test", as folders of other sets are.
    return all((folder / name).is_file() for name in cifar.files())


def _join(cifar: Cifar, split: str, parts: Iterable[tuple[np.ndarray, np.ndarray]]) -> ArraySplit:
    """Pictures from planes of red, green, blue to (N, 32, 32, 3)."""
    import numpy as np

    pixels, labels = map(np.concatenate, zip(*parts, strict=True))
    if labels.size and not 0 <= labels.min() <= labels.max() < len(cifar.classes):
        raise UserError(cifar.name, f"label {labels.max()} is out of range; there are {len(cifar.classes)} classes.")
    return ArraySplit(split, np.ascontiguousarray(pixels.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)), labels)


def _parse_binary(cifar: Cifar, file: Path, data: bytes | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Pixels (N, 3072) and labels (N,) from records of label bytes and three planes of 32 x 32."""
    import numpy as np

    data = _read_whole(file) if data is None else data
    width = cifar.label_bytes + _PIXELS
    if not data or len(data) % width:
        raise UserError(str(file), f"has {len(data)} bytes, no multiple of {width}. Fetch it again.")
    records = np.frombuffer(data, np.uint8).reshape(-1, width)
    return records[:, cifar.label_bytes :], records[:, cifar.label_bytes - 1]


def _read_archive(cifar: Cifar, file: Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Read the members in place: nothing is unpacked, so no path in the archive matters."""
    wanted = {f"{cifar.binary}/{name}.bin": name for name in cifar.files()}
    parts = {}
    try:
        with tarfile.open(file, "r:gz") as archive:
            for member in archive:
                name = wanted.get(member.name)
                if name is None or not member.isreg() or member.size > _LIMIT_BYTES:
                    continue
                parts[name] = _parse_binary(cifar, file / member.name, archive.extractfile(member).read())
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        raise UserError(str(file), f"can't be read ({error}). Fetch it again.") from error
    missing = [path for path, name in wanted.items() if name not in parts]
    if missing:
        raise UserError(str(file), f"{', '.join(missing)} is not in it. Fetch it again.")
    return parts


def _parse_python(cifar: Cifar, file: Path) -> tuple[np.ndarray, np.ndarray]:
    """The same from a file of the version for Python, whose md5 must be the published one."""
    import numpy as np

    data = _read_whole(file)
    if hashlib.md5(data, usedforsecurity=False).hexdigest() != _published(cifar).get(file.name):
        raise UserError(str(file), f"is not the published file (its md5 differs). Fetch it again, or {cifar.archive}.")
    try:
        record = read_record(data)
        pixels, labels = record["data"], np.array(record[cifar.label_key], np.int64)
    except (ValueError, KeyError, OverflowError, TypeError) as error:
        raise UserError(str(file), f"is not readable ({error}). Fetch {cifar.archive} instead.") from error
    if getattr(pixels, "shape", None) != (len(labels), _PIXELS):
        raise UserError(str(file), f"holds other pictures than {len(labels)} of 3 x 32 x 32. Fetch it again.")
    return pixels, labels


def _read_whole(file: Path) -> bytes:
    try:
        if file.stat().st_size > _LIMIT_BYTES:
            raise UserError(str(file), "is larger than any file of CIFAR. Fetch it again.")
        return file.read_bytes()
    except OSError as error:
        raise UserError(str(file), f"can't be read: {error.strerror or error}.") from error


def _torchvision(cifar: Cifar):
    import torchvision.datasets

    return getattr(torchvision.datasets, cifar.torchvision)


def _published(cifar: Cifar) -> dict[str, str]:
    """File name to md5, of the version for Python."""
    known = _torchvision(cifar)
    return dict((*known.train_list, *known.test_list))


def _download(cifar: Cifar, root: Path) -> None:
    """Fetch the binary archive, which lies beside the one that torchvision knows."""
    from torchvision.datasets.utils import download_and_extract_archive

    address = _torchvision(cifar).url.rpartition("/")[0]
    download_and_extract_archive(f"{address}/{cifar.archive}", str(root), md5=cifar.md5)
