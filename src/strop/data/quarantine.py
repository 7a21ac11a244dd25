"""Training pictures that can't be read: found before anything is trained, left out by name, never replaced. No torch.

Which they are is decided once, when the data set is opened, and written to data.json. So the order of an epoch is a
function of the pictures that are left, wherever these are loaded from, and every later step sees the same ones.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from typing import TYPE_CHECKING

from ..errors import UserError
from ..runs import cores
from .exclusions import show_name
from .formats import HEAD_BYTES, explain_no_picture
from .geometry import Box
from .hashes import HashStore
from .jpeg import open_jpeg
from .source import ArraySplit, Source, Split

if TYPE_CHECKING:
    import numpy as np

_BLOCK, _SHOWN, _WORTH_TELLING = 64, 5, 20_000
_ADVICE = " Replace or remove it."
log = logging.getLogger("strop")


def set_apart(
    source: Source, hashes: dict[str, np.ndarray], limit: float
) -> tuple[Source, dict[str, np.ndarray], dict[str, str]]:
    """The source and hashes without the training pictures that can't be read; and these, with the reason.

    Args:
        source: as it was opened.
        hashes: content hash of every picture, by split.
        limit: share of the training pictures that may be left out; 0 <= limit < 1.
    Raises:
        UserError: more than `limit` can't be read, or none of a class can; or one of the source's own val.
    """
    refuse_unreadable(source, "val", find_unreadable(source.splits["val"], hashes["val"]) if "val" in hashes else {})
    train = source.splits["train"]
    found = find_unreadable(train, hashes["train"])
    if not found:
        return source, hashes, {}
    named = {train.names[i]: found[i] for i in sorted(found)}
    if len(found) > limit * len(train):
        _refuse_many(source, named, limit)
    kept, rest = drop(train, hashes["train"], found)
    counts = Counter(kept.labels.tolist())
    empty = [name for label, name in enumerate(source.classes) if not counts[label]]
    if empty:
        shown = ", ".join(map(repr, empty[:_SHOWN])) + (", ..." if len(empty) > _SHOWN else "")
        lines = [f"no picture of {shown} can be read:", *_list(named), "Replace them, or leave the class out."]
        raise UserError(_where(source), "\n  ".join(lines))
    log.warning(
        "%s: %d of %s training pictures can't be read and are left out:", source.name, len(found), f"{len(train):,}"
    )
    for line in _list(named):
        log.warning("  %s", line)
    splits = source.splits | {"train": kept}
    return Source(source.name, source.location, source.classes, splits), hashes | {"train": rest}, named


def find_unreadable(split: Split, hashes: np.ndarray) -> dict[int, str]:
    """Decode each picture, and say why it is none: place -> reason. Content that was readable before is remembered."""
    import numpy as np

    if isinstance(split, ArraySplit):
        return {}
    store = HashStore(split.root, "decoded", width=0, version=_name_decoders()) if split.root else None
    fine = store.find(hashes)[0] if store else np.zeros(len(split), bool)
    left, before, found = np.flatnonzero(~fine), int(fine.sum()), {}
    if len(left) > _WORTH_TELLING:
        log.info("decoding %s pictures once, to find those that can't be read", f"{len(left):,}")
    blocks = [left[at : at + _BLOCK].tolist() for at in range(0, len(left), _BLOCK)]

    def check(block: list[int]) -> dict[int, str]:
        reasons = {i: _explain(split, i) for i in block}
        return {i: reason for i, reason in reasons.items() if reason}

    try:
        with ThreadPoolExecutor(min(cores(), 8), "check") as pool:
            for block, reasons in zip(blocks, pool.map(check, blocks), strict=True):
                found |= reasons
                fine[block] = True
                fine[list(reasons)] = False
    finally:
        if store and int(fine.sum()) > before:
            store.keep(*np.split(np.unique(hashes[fine], axis=0), [hashes.shape[1]], axis=1))
    return found


def _explain(split: Split, i: int) -> str | None:
    """Why picture i can't be read, None if it can. A JPEG is decoded at 1/8 of its size: all its data are read."""
    try:
        with split.open(i) or nullcontext() as file:
            no_picture = file and explain_no_picture(file.read(HEAD_BYTES))
            if no_picture:
                return f"is no picture: {no_picture}"
            jpeg = file and not file.seek(0) and open_jpeg(file)
    except OSError as error:
        return f"can't be read: {error.strerror or error}"
    if jpeg and jpeg.decode(Box(0, 0, *jpeg.shape), 1, 1) is not None:
        return None
    try:
        split.pixels(i)
    except UserError as error:
        return error.problems[0].removesuffix(_ADVICE)
    return None


def refuse_unreadable(source: Source, name: str, found: Mapping[int, str]) -> None:
    """Stop at the first sight of an unreadable picture in a split that is measured on. Raises UserError."""
    if found:
        names = source.splits[name].names
        named = {names[i]: found[i] for i in sorted(found)}
        what = f"{len(found)} {name} picture{'s' * (len(found) > 1)} can't be read; what is measured must be whole:"
        raise UserError(_where(source), "\n  ".join([what, *_list(named), "Replace or remove them."]))


def refuse_no_pictures(source: Source, *names: str) -> None:
    """The same for files that are no pictures by their first bytes."""
    for name in names:
        found = getattr(source.splits.get(name), "no_pictures", {})
        refuse_unreadable(source, name, {i: f"is no picture: {reason}" for i, reason in found.items()})


def drop(split: Split, hashes: np.ndarray, places: Mapping[int, str]) -> tuple[Split, np.ndarray]:
    """A split and its hashes without the pictures at some places."""
    import numpy as np

    kept = np.ones(len(split), bool)
    kept[list(places)] = False
    indices = np.flatnonzero(kept)
    return split.take(indices, split.labels[indices]), hashes[indices]


def _refuse_many(source: Source, named: Mapping[str, str], limit: float) -> None:
    n, total = len(named), len(source.splits["train"])
    lines = [
        f"{n} of {total:,} training pictures can't be read ({100 * n / total:.2g} %); "
        f"at most {100 * limit:.3g} % may be left out:",
        *_list(named),
        f"Replace or remove them; strop audit {source.location or source.name} lists all.",
        f"To train without them, allow more: --max-unreadable {_round_up(n / total)}%.",
    ]
    raise UserError(_where(source), "\n  ".join(lines))


def _round_up(share: float) -> int:
    """The next whole percent that allows this share."""
    return min(int(100 * share) + 1, 99)


def _list(named: Mapping[str, str]) -> list[str]:
    """The first few, and how many more there are."""
    lines = [show(name, reason) for name, reason in list(named.items())[:_SHOWN]]
    return lines + ([f"... and {len(named) - _SHOWN} more"] if len(named) > _SHOWN else [])


def show(name: str, reason: str) -> str:
    """A name and what is wrong with it, as a sentence."""
    return f"'{show_name(name)}'{'' if reason.startswith(('is ', 'can')) else ':'} {reason}"


def _where(source: Source) -> str:
    return source.location or f"data '{source.name}'"


def _name_decoders() -> str:
    import PIL
    import simplejpeg

    return f"{PIL.__version__} {simplejpeg.__version__}"
