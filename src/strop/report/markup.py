"""Small pieces of HTML; every text is escaped here."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from html import escape


def listed(lines: Iterable[str]) -> str:
    return "<ul>" + "".join(f"<li>{escape(line)}</li>" for line in lines) + "</ul>"


def facts(pairs: Iterable[tuple[str, str]]) -> str:
    """Terms and what they are, as a list of definitions."""
    lines = "".join(f"<dt>{escape(key.removesuffix('_bytes'))}</dt><dd>{escape(value)}</dd>" for key, value in pairs)
    return f'<dl class="facts">{lines}</dl>'


def exact(value: float | None, text: str) -> str:
    """A figure as people read it, with the figure of the JSON behind it: the reader's program gets every digit."""
    return escape(text) if value is None else f'<data value="{json.dumps(value)}">{escape(text)}</data>'


def bar(share: float, label: str = "") -> str:
    """A bar that fills `share` of its cell, 0 to 1; the figure stands beside it as text."""
    width = f"{100 * min(1.0, max(0.0, share)):.1f}"
    hint = f' role="img" aria-label="{escape(label)}"' if label else ' aria-hidden="true"'
    return (
        f'<svg class="bar" viewBox="0 0 100 10" preserveAspectRatio="none"{hint}><rect class="track" width="100" '
        f'height="10"/><rect width="{width}" height="10"/></svg>'
    )


def chart(title: str, unit: str, says: str, marks: str) -> str:
    """A place where the page's script draws; `says` is what a screen reader reads, `marks` are data attributes."""
    return (
        f'<figure><figcaption>{escape(title)} <span>{escape(unit)}</span></figcaption><div class="plot">'
        f'<canvas {marks} role="img" aria-label="{escape(says)}">{escape(says)}</canvas></div></figure>'
    )


def scroller(label: str, inside: str, *, flat: bool = False) -> str:
    """A box that scrolls sideways by itself, with the arrow keys too."""
    kind = "scroll flat" if flat else "scroll"
    return f'<div class="{kind}" tabindex="0" role="region" aria-label="{escape(label)}">{inside}</div>'


def grid(
    label: str, heads: Sequence[str], lines: Iterable[Sequence[str]], *, texts: int = 1, flat: bool = False
) -> str:
    """A table of cells that are HTML already; the first `texts` columns are text and stand left.

    Args:
        heads: plain text.
        lines: cells as HTML.
    """

    def kind(column: int) -> str:
        return ' class="text"' if column < texts else ""

    head = "".join(f'<th scope="col"{kind(i)}>{escape(title)}</th>' for i, title in enumerate(heads))
    body = "".join(
        "<tr>"
        + "".join(
            f'<th scope="row" class="text">{cell}</th>' if i == 0 else f"<td{kind(i)}>{cell}</td>"
            for i, cell in enumerate(line)
        )
        + "</tr>"
        for line in lines
    )
    table = f'<table class="rows"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'
    return scroller(label, table, flat=flat)


def folded(summary: str, inside: str) -> str:
    """More of something, closed until it is asked for."""
    return f'<details class="more"><summary>{escape(summary)}</summary>{inside}</details>'


def code(lines: Iterable[str]) -> str:
    return f'<pre tabindex="0">{escape(chr(10).join(lines))}</pre>'
