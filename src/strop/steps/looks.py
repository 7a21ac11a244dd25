"""How often a test set has been looked at: looks.json, beside the models that were measured."""

from __future__ import annotations

import fcntl
import hashlib
import logging
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import UserError
from ..runs import Run, read_json
from ..writing import write_json

if TYPE_CHECKING:
    from ..data.dataset import Data

FILE = "looks.json"
log = logging.getLogger("strop")


def count_look(run: Run, model: Run, data: Data, split: str) -> dict[str, Any]:
    """Count that `run` measured `model` on the test pictures; what `measured` says about it.

    A step that is resumed is no other look: the entry has its key and the time it was started. A place that can't be
    written, or a file that strop did not write, is a warning: the figure is right without the count.

    Returns:
        "test_set", the fingerprint of the pictures, and "looks", how many there were with this one, where they could
        be counted; {} for other splits than test.
    """
    if split != "test":
        return {}
    test_set, record = fingerprint(data, split), run.record
    entry = {"run": run.id, "verb": record["verb"], "started": record["started"], "key": record["key"]}
    path = model.folder.resolve().parent / FILE
    try:
        with _locked(path):
            counted = _read(path)
            looks = counted["test_sets"].setdefault(test_set, [])
            if entry not in looks:
                looks.append(entry)
                write_json(path, counted)
            return {"test_set": test_set, "looks": looks.index(entry) + 1}
    except OSError as error:
        log.warning("%s: this look at the test set is not counted (%s)", path, error.strerror or error)
    except UserError as error:
        log.warning("%s; this look at the test set is not counted", error)
    return {"test_set": test_set}


def fingerprint(data: Data, split: str) -> str:
    """blake2b of the content hashes of a split's pictures, sorted: neither names nor order nor other splits count."""
    chosen = data.splits[split]
    hashes = data.hashes[chosen.part][chosen.indices]
    total = hashlib.blake2b(digest_size=16)
    for one in sorted(map(bytes, hashes)):
        total.update(one)
    return "blake2b:" + total.hexdigest()


def _read(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {"format": 1, "test_sets": {}}
    found = read_json(path)
    sets = found.get("test_sets") if isinstance(found, dict) and found.get("format") == 1 else None
    if not isinstance(sets, dict) or not all(isinstance(looks, list) for looks in sets.values()):
        raise UserError(str(path), "is not the file that strop writes under this name. Rename it.")
    return found


@contextmanager
def _locked(path: Path):
    """Of steps that end at the same time, one counts after the other."""
    with open(path.with_name(f".{path.name}.lock"), "a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
