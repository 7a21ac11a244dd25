"""Who was made from whom: as a tree in the terminal, as Mermaid or as DOT."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from .numbers import decimals_for, percent, significant

if TYPE_CHECKING:
    from .rows import Row

WORDS = {"parent": "", "teacher": "taught by"}


class Link(NamedTuple):
    """`child` was made with `source` in this role ("parent" or "teacher"); both are numbers of nodes."""

    source: int
    child: int
    role: str


class Graph(NamedTuple):
    """Nodes are the rows, then the parents that are no rows; texts say what each is."""

    names: list[str]
    texts: list[str]
    links: list[Link]


def graph(rows: Sequence[Row]) -> Graph:
    """The rows and what they were made from, found by hash; a parent that is no row is a node with its id."""
    names, texts, links = [row.id for row in rows], [_about(row) for row in rows], []
    outside: dict[str, int] = {}
    for child, row in enumerate(rows):
        for role, parent in row.parents.items():
            found = row.parent(role, rows)
            if found is not None:
                source = next(i for i, other in enumerate(rows) if other is found)
            else:
                key = str(parent.get("hash") or parent["id"])
                if key not in outside:
                    outside[key] = len(names)
                    names.append(str(parent["id"]))
                    texts.append("not in the table")
                source = outside[key]
            links.append(Link(source, child, role))
    return Graph(names, texts, links)


def _about(row: Row) -> str:
    parts = [row.verb]
    if row.accuracy is not None:
        parts.append(f"{percent(row.accuracy, decimals_for(row.figure('n')))} %")
    return ", ".join([*parts, f"{significant(row.bytes / 1e6)} MB"])


def tree(rows: Sequence[Row]) -> list[str]:
    """Lines for a terminal: each row below the parent it was made from; teachers are named.

    Example:
        >>> print("\\n".join(tree(rows)))
        teacher (train, 91.2 %, 44.7 MB)
        student (train, 90.1 %, 44.7 MB), taught by teacher
        `- small (prune, 89.0 %, 3.94 MB), taught by teacher
    """
    found = graph(rows)
    children: dict[int, list[int]] = {}
    for link in found.links:
        if link.role != "teacher" and link.child not in children.get(link.source, []):
            children.setdefault(link.source, []).append(link.child)
    below = {child for of in children.values() for child in of}
    lines: list[str] = []
    shown: set[int] = set()

    def add(node: int, first: str, rest: str) -> None:
        shown.add(node)
        teachers = [found.names[link.source] for link in found.links if link.child == node and link.role == "teacher"]
        taught = f", taught by {' and '.join(teachers)}" if teachers else ""
        lines.append(f"{first}{found.names[node]} ({found.texts[node]}){taught}")
        own = [child for child in children.get(node, []) if child not in shown]
        for number, child in enumerate(own):
            is_last = number == len(own) - 1
            add(child, rest + ("└─ " if is_last else "├─ "), rest + ("   " if is_last else "│  "))

    teaching = {link.source for link in found.links if link.role == "teacher"}
    for node in range(len(found.names)):
        is_outside_teacher = node >= len(rows) and node in teaching and node not in children
        if node not in below and not is_outside_teacher:
            add(node, "", "")
    for node in range(len(rows)):  # what goes round in a circle, which only a hand-made folder can
        if node not in shown:
            add(node, "", "")
    return lines


def mermaid(rows: Sequence[Row]) -> str:
    """A flowchart as Markdown viewers draw it; teaching is a dotted arrow."""
    found = graph(rows)
    lines = ["flowchart LR"]
    for number, (name, text) in enumerate(zip(found.names, found.texts, strict=True)):
        lines.append(f'  n{number}["{_entities(name)}<br>{_entities(text)}"]')
    for source, child, role in found.links:
        arrow = "-->" if role == "parent" else f"-. {'teaches' if role == 'teacher' else _entities(role)} .->"
        lines.append(f"  n{source} {arrow} n{child}")
    return "\n".join(lines) + "\n"


def _entities(text: str) -> str:
    """Letters with a meaning in Mermaid as its entity codes (#35; is #)."""
    return "".join(letter if letter.isalnum() or letter in " .,%_/+=()-" else f"#{ord(letter)};" for letter in text)


def dot(rows: Sequence[Row]) -> str:
    """A digraph of Graphviz; teaching is a dotted arrow."""
    found = graph(rows)
    lines = ["digraph lineage {", "  rankdir=LR;", "  node [shape=box];"]
    for number, (name, text) in enumerate(zip(found.names, found.texts, strict=True)):
        lines.append(f'  n{number} [label="{_quoted(name)}\\n{_quoted(text)}"];')
    for source, child, role in found.links:
        style = (
            "" if role == "parent" else f' [style=dotted, label="{"teaches" if role == "teacher" else _quoted(role)}"]'
        )
        lines.append(f"  n{source} -> n{child}{style};")
    return "\n".join([*lines, "}"]) + "\n"


def _quoted(text: str) -> str:
    return " ".join(text.replace("\\", "\\\\").replace('"', '\\"').split())
