"""Same data, same split, same budget? What differs is said under the table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..runs import digest, parse_json
from .folders import MODEL_VERBS, Folder, Unusable, read_folder
from .numbers import names

if TYPE_CHECKING:
    from .rows import Row

DEEPEST = 50
"""How many parents are followed; a chain that is longer goes round in a circle."""


def differences(rows: Sequence[Row]) -> list[str]:
    """A sentence for each condition that the rows do not share; rows that do not say are left out."""
    said = [(row, about) for row in rows if (about := _about_data(row))]
    found = _unlike(said, "Trained on different data: {}.", lambda about: about["fingerprint"], _name_data)
    if not found:
        found = _unlike(
            said, "Different validation pictures were held out: {}.", lambda about: about["held_out"], _name_split
        )
    budgets = [(row, epochs(row)) for row in rows]
    trained = [(row, chain) for row, chain in budgets if chain]
    ways = Counter(map(sum, {chain for _, chain in trained}))
    words = "The training budgets differ: {}."
    if any(len(chain) > 1 for _, chain in trained):
        words = "The training budgets differ, those of parents included and those of teachers not: {}."
    # 4 epochs at once and 3 + 1 are one budget, named by its sum.
    budgets = [(row, chain if ways[sum(chain)] == 1 else (sum(chain),)) for row, chain in trained]
    return found + _unlike(budgets, words, lambda chain: sum(chain), _name_budget)


def holds(rows: Sequence[Row]) -> dict[str, bool | None]:
    """Whether all rows share data, split and budget; None where fewer than two of them say."""
    said = [about for row in rows if (about := _about_data(row))]
    chains = [sum(chain) for row in rows if (chain := epochs(row))]

    def one(values: list) -> bool | None:
        return len(set(values)) == 1 if len(values) > 1 else None

    return {
        "same_data": one([about["fingerprint"] for about in said]),
        "same_split": one([about["held_out"] for about in said]),
        "same_budget": one(chains),
    }


def epochs(row: Row) -> tuple[int, ...]:
    """Epochs that went into the weights, first parent first: (12, 10) for a network of 12 that was pruned and got 10.

    Parents are found by the path that run.json gives, beside the row's own folder only, and by their hash.
    """
    chain, folder, parents, training = [], row.folder, row.parents, row.training
    for _ in range(DEEPEST):
        count = (training or {}).get("epochs")
        if isinstance(count, int) and count > 0:
            chain.append(count)
        found = _parent(folder, parents)
        if found is None:
            break
        folder, parents, training = found.path, found.record.get("parents") or {}, found.result.get("training")
    return tuple(reversed(chain))


def _parent(folder: Path, parents: dict[str, dict]) -> Folder | None:
    link = parents.get("parent") or {}
    path = (folder / str(link.get("path", ""))).resolve()
    if not link.get("path") or path.parent != folder.resolve().parent:
        return None
    try:
        found = read_folder(path, MODEL_VERBS)
    except Unusable:
        return None
    return found if found and found.result["model"]["hash"] == link.get("hash") else None


def _about_data(row: Row) -> dict[str, Any] | None:
    try:
        text = (row.folder / "data.json").read_bytes()
    except OSError:
        return None
    return _read_data(text)


@lru_cache(maxsize=64)
def _read_data(text: bytes) -> dict[str, Any] | None:
    """What of data.json tells two of them apart; runs on one data set have the same bytes, which are read once."""
    try:
        about = parse_json(text.decode("utf-8"))
        validation = about["validation"]
        return {
            "source": str(about["source"]),
            "fingerprint": str(about["fingerprint"]),
            "rule": str(validation["rule"]),
            "held_out": digest(sorted(map(str, validation["names"]))),
            "count": len(validation["names"]),
        }
    except (ValueError, KeyError, TypeError):
        return None


def _unlike(
    said: Sequence[tuple[Row, Any]], words: str, key: Callable[[Any], Hashable], name: Callable[[Any], str]
) -> list[str]:
    """The sentence with what each group has and which rows are in it, largest group first; nothing for one group."""
    groups: dict[Hashable, list[tuple[Row, Any]]] = {}
    for row, value in said:
        groups.setdefault(key(value), []).append((row, value))
    if len(groups) < 2:
        return []
    ordered = sorted(groups.values(), key=lambda members: -len(members))
    parts = [f"{name(members[0][1])} for {names([row.id for row, _ in members])}" for members in ordered]
    return [words.format("; ".join(parts))]


def _name_data(about: dict[str, Any]) -> str:
    return f"'{about['source']}' ({about['fingerprint'].removeprefix('blake2b:')[:8]})"


def _name_split(about: dict[str, Any]) -> str:
    return f"{about['count']:,} ({about['rule']})"


def _name_budget(chain: tuple[int, ...]) -> str:
    return f"{' + '.join(map(str, chain))} epoch{'s' if sum(chain) != 1 else ''}"
