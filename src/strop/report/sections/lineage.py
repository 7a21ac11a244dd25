"""Who came from whom: a tree, parents above their children, with what each step changed."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

from ..notes import same_pictures
from ..numbers import percent, significant, times

if TYPE_CHECKING:
    from ..rows import Row


def lineage(rows: Sequence[Row]) -> str:
    children: dict[int | None, list[Row]] = {}
    for row in rows:
        parent = row.parent("parent", rows)
        children.setdefault(None if parent is None else id(parent), []).append(row)
    # A circle of parents, which only files that were changed by hand give, has no root; its rows stand for themselves.
    shown: set[int] = set()
    tree = _branch(None, children, rows, shown)
    rest = [row for row in rows if id(row) not in shown]
    return tree + ("<ul>" + "".join(f"<li>{_node(row, rows)}</li>" for row in rest) + "</ul>" if rest else "")


def _branch(parent: int | None, children: dict[int | None, list[Row]], rows: Sequence[Row], shown: set[int]) -> str:
    found = [row for row in children.get(parent, []) if id(row) not in shown]
    shown.update(id(row) for row in found)
    if not found:
        return ""
    items = (f"<li>{_node(row, rows)}{_branch(id(row), children, rows, shown)}</li>" for row in found)
    return f'<ul class="tree">{"".join(items)}</ul>'


def _node(row: Row, rows: Sequence[Row]) -> str:
    words = [_origin(row, rows)]
    parent = row.parent("parent", rows)
    if parent is not None and same_pictures(row, parent):
        words.append(f"{100 * (row.accuracy - parent.accuracy):+.1f} points")
    elif row.accuracy is not None:
        words.append(f"{percent(row.accuracy)} %")
    if parent is not None and parent.bytes != row.bytes:
        ratio = parent.bytes / row.bytes
        words.append(f"{times(ratio)} times smaller" if ratio > 1 else f"{times(1 / ratio)} times larger")
    else:
        words.append(f"{significant(row.bytes / 1e6)} MB")
    if row.export:
        words.append(f"ships as {row.export}/{row.file}")
    return f"<b>{escape(row.id)}</b> <span>{escape('; '.join(words))}</span>"


def _origin(row: Row, rows: Sequence[Row]) -> str:
    """'prune from student, taught by teacher'"""
    said = {"parent": "from", "teacher": "taught by"}
    origin = [f"{said.get(role, role)} {parent['id']}" for role, parent in row.parents.items()]
    return f"{row.verb} {', '.join(origin)}" if origin else f"{row.verb} from scratch"
