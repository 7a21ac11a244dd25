"""The data set of a run, opened again and held against what the run was made with."""

from __future__ import annotations

from ..data.dataset import Data, open_again, open_data
from ..data.source import SPLITS
from ..errors import UserError
from ..runs import Run


def reopen(run: Run, *, moved_to: str | None = None) -> Data:
    """The same pictures in the same split, there or where they were moved to. Raises UserError naming what differs."""
    about = run.data
    data = open_again(about | ({"location": moved_to} if moved_to else {}))
    same_classes(run, data)
    if data.fingerprint != about["fingerprint"]:
        counts = {split: len(items) for split, items in data.splits.items()}
        before = {split: sum(classes.values()) for split, classes in about["counts"].items()}
        change = (
            f"{before} pictures then, {counts} now" if counts != before else "the counts are equal, contents are not"
        )
        raise UserError(
            about["source"],
            f"is not the data set that '{run.id}' was made with ({change}). Restore the pictures, or train again.",
        )
    return data


def open_outliers(source: str, parent: Run) -> tuple[Data, str]:
    """Pictures of another kind, and which split of them to take: test, or else val, or train."""
    alpha = parent.data.get("alpha", "white")
    data = open_data(source, validation=0, max_unreadable=None, alpha=alpha)
    return data, next(split for split in ("test", "val", "train") if len(data.splits[split]))


def word_pictures(data: Data) -> str:
    """4 classes; 1,130 training, 56 validation and no test pictures."""
    train, val, test = (f"{len(data.splits[split]):,}" if len(data.splits[split]) else "no" for split in SPLITS)
    return f"{len(data.classes):,} classes; {train} training, {val} validation and {test} test pictures"


def same_classes(run: Run, data: Data) -> None:
    """Refuse a data set whose classes differ from the run's, in name or order."""
    expected, found = run.data["classes"], list(data.classes)
    if expected == found:
        return
    missing, extra = sorted(set(expected) - set(found)), sorted(set(found) - set(expected))
    change = (
        "; ".join(
            filter(
                None,
                [f"missing: {', '.join(missing)}" if missing else "", f"unknown: {', '.join(extra)}" if extra else ""],
            )
        )
        or "another order"
    )
    raise UserError(
        str(data.source.name),
        f"its classes are not those of '{run.id}' ({change}). Give pictures in folders of the same names.",
    )
