"""Which of a model's measurements stands in the table: one on pictures that the other rows were measured on too."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from .folders import Folder

SPLITS = ("test", "val")


class Entry(NamedTuple):
    """A measurement.

    Attributes:
        figures: an entry of `measured` in result.json, unchanged.
        is_shipped: whether it was made on the file that ships.
        predictions: the Parquet file of each picture's prediction; None where there is none.
        runtimes: the same file in several runtimes, where it was measured so: `runtimes` of result.json.
    """

    figures: dict[str, Any]
    is_shipped: bool
    predictions: Path | None = None
    runtimes: tuple[dict[str, Any], ...] = ()

    @property
    def pictures(self) -> tuple[str, str | None]:
        """Equal where the same pictures were measured."""
        return pictures(self.figures)


def pictures(figures: dict[str, Any]) -> tuple[str, str | None]:
    """Split and fingerprint of what was measured; that of the whole data where its own was not written down."""
    return figures["split"], figures.get("pictures") or figures.get("test_set") or figures.get("data")


def own_entries(folder: Folder, export: Folder | None) -> list[Entry]:
    """What a run and its export say themselves; beside an export the run's own figures are of another file."""
    ships = (export or folder).result["model"]["file"]
    found = [
        Entry(figures, figures.get("file", ships) == ships, runtimes=_runtimes(export or folder, figures))
        for figures in (export or folder).result.get("measured") or []
    ]
    if export is not None:
        found += [Entry(figures, False) for figures in folder.result.get("measured") or []]
    return found


def evaluated(folders: Iterable[Folder], model_hash: str, hashes: Iterable[str]) -> list[Entry]:
    """What `evaluate` measured on a model; `model_hash` is that of the file that ships, one of `hashes`."""
    found = []
    for folder in folders:
        if folder.parent_hash in hashes:
            for figures in folder.result.get("measured") or []:
                file, runtimes = _predictions(folder, figures), _runtimes(folder, figures)
                found.append(Entry(figures, folder.parent_hash == model_hash, file, runtimes))
    return found


def _runtimes(folder: Folder, figures: dict[str, Any]) -> tuple[dict[str, Any], ...]:
    """They are about the first entry."""
    return tuple(folder.result.get("runtimes") or ()) if figures is folder.result["measured"][0] else ()


def _predictions(folder: Folder, figures: dict[str, Any]) -> Path | None:
    """The file that the entry names, in the folder itself whatever the name says."""
    name = Path(str(figures.get("predictions") or "predictions.parquet")).name
    return folder.path / name if name and (folder.path / name).is_file() else None


def choose(pools: Sequence[Sequence[Entry]], split: str | None = None) -> list[Entry | None]:
    """One entry for each pool, all of one split, on the pictures that most pools hold; None where a pool has none.

    Then the file that ships, not in OpenVINO, the best checkpoint, and one with predictions.

    Args:
        split: default: the one that most pools hold, test before val.
    """
    if split is None:
        held = [{entry.figures["split"] for entry in pool} for pool in pools]
        split = max(SPLITS, key=lambda name: sum(name in splits for splits in held))
    asked = [[entry for entry in pool if entry.figures["split"] == split] for pool in pools]
    votes = Counter(key for pool in asked for key in {entry.pictures for entry in pool})

    def rank(entry: Entry) -> tuple:
        best, usual = entry.figures.get("checkpoint") != "last", entry.figures.get("runtime") != "openvino"
        return votes[entry.pictures], entry.is_shipped, usual, best, entry.predictions is not None

    return [max(pool, key=rank, default=None) for pool in asked]
