"""Decode pictures once to find something out about each, and remember it by content. No torch."""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import UserError
from ..runs import cores
from .formats import HEAD_BYTES, explain_no_picture
from .geometry import Box
from .hashes import HashStore
from .jpeg import open_jpeg
from .source import ArraySplit, Split

if TYPE_CHECKING:
    import numpy as np

    from .look import Looks

SHAPE_BYTES = 12
_BLOCK, _MOST_THREADS, _WORTH_TELLING = 64, 8, 20_000
_ADVICE = " Replace or remove it."
log = logging.getLogger("strop")


def examine_all(
    split: Split,
    hashes: np.ndarray,
    examine: Callable[[Split, int], bytes],
    *,
    kind: str,
    width: int,
    owner: Path | str | None,
    version: int = 1,
) -> tuple[np.ndarray, dict[int, str]]:
    """What `examine` finds out about each picture, and why others can't be read: place -> reason.

    Args:
        split: N pictures.
        hashes: their content hashes, (N, 16) uint8.
        examine: gives `width` bytes for a picture; raises UserError where it can't be read.
        kind, owner, version: what the values are filed under, as for `HashStore`, beside the decoders' versions; owner
            None remembers nothing.
    Shape:
        Returns: (N, width) uint8, zeros for what can't be read.
    """
    import numpy as np

    store = HashStore(owner, kind, width=width, version=f"{version} {_name_decoders()}") if owner is not None else None
    done, values = np.zeros(len(split), bool), np.zeros((len(split), width), np.uint8)
    if store:
        done, values = store.find(hashes)
    left, before, broken = np.flatnonzero(~done), int(done.sum()), {}
    if len(left) > _WORTH_TELLING:
        log.info("decoding %s training pictures once, to see whether they can be read", f"{len(left):,}")
    blocks = [left[at : at + _BLOCK].tolist() for at in range(0, len(left), _BLOCK)]

    def examine_some(block: list[int]) -> list[bytes | str]:
        return [_try(examine, split, i) for i in block]

    try:
        with ThreadPoolExecutor(min(cores(), _MOST_THREADS), "examine") as pool:
            for block, results in zip(blocks, pool.map(examine_some, blocks), strict=True):
                for i, result in zip(block, results, strict=True):
                    if isinstance(result, str):
                        broken[i] = result
                    else:
                        values[i], done[i] = np.frombuffer(result, np.uint8), True
    finally:
        if store and int(done.sum()) > before:
            once = np.unique(hashes[done], axis=0, return_index=True)[1]
            store.keep(hashes[done][once], values[done][once])
    return values, broken


def _try(examine: Callable[[Split, int], bytes], split: Split, i: int) -> bytes | str:
    try:
        with split.open(i) or nullcontext() as file:
            no_picture = file and explain_no_picture(file.read(HEAD_BYTES))
        return f"is no picture: {no_picture}" if no_picture else examine(split, i)
    except OSError as error:
        return f"can't be read: {error.strerror or error}"
    except UserError as error:
        return error.problems[0].removesuffix(_ADVICE)


def measure_shapes(split: Split, hashes: np.ndarray) -> tuple[np.ndarray, dict[int, str]]:
    """Height, width and channels of every picture, (N, 3) int32, each decoded once; and why others can't be read."""
    import numpy as np

    if isinstance(split, ArraySplit):
        return np.broadcast_to(np.array(split.images.shape[1:], np.int32), (len(split), 3)), {}
    values, broken = examine_all(split, hashes, _measure, kind="shapes", width=SHAPE_BYTES, owner=split.root)
    return values.view(np.int32), broken


def look_at_split(split: Split, hashes: np.ndarray) -> tuple[Looks, dict[int, str]]:
    """What tells the copies of every picture, each decoded once; and why others can't be read."""
    from .look import LOOK, VERSION, Looks, describe

    def look(split: Split, i: int) -> bytes:
        return describe(split.pixels(i)).tobytes()

    filed = {"kind": "looks", "owner": getattr(split, "root", None), "version": VERSION}
    values, broken = examine_all(split, hashes, look, width=LOOK.itemsize, **filed)
    looks = Looks(len(split), quick=False)
    looks.rows[:] = values.view(LOOK)[:, 0]
    return looks, broken


def _measure(split: Split, i: int) -> bytes:
    """A JPEG is decoded at an eighth of its size: all its data are read."""
    import numpy as np

    with split.open(i) as file:
        jpeg = open_jpeg(file)
    if jpeg and jpeg.decode(Box(0, 0, *jpeg.shape), 1, 1) is not None:
        shape = (*jpeg.shape, 1 if jpeg.grey else 3)
    else:
        shape = split.pixels(i).shape
    return np.array(shape, np.int32).tobytes()


def _name_decoders() -> str:
    import PIL
    import simplejpeg

    return f"{PIL.__version__} {simplejpeg.__version__}"
