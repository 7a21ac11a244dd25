"""One HTML page about an audit: the verdict, each finding with its pictures side by side, the classes. No network."""

from __future__ import annotations

import base64
import hashlib
from html import escape
from pathlib import Path

import cv2
import numpy as np

from ..errors import UserError
from .findings import Finding, Findings, Item, show_plain

STYLE = Path(__file__).with_name("page.css")
ITEMS, PICTURES, LISTED, CLASSES = 24, 6, 40, 200
_SIDE, _SMALL = 132, 66


def render_page(findings: Findings) -> str:
    """The page as HTML: no script, nothing loaded from anywhere, every name escaped, pictures as data URIs.

    A finding shows up to 24 items of up to 6 pictures; audit.json has all of them.
    """
    style = STYLE.read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; base-uri 'none'; form-action 'none'"
    title = escape(show_plain(findings.name))
    body = "\n".join(
        [_verdict(findings), *(_section(finding, findings, i) for i, finding in enumerate(findings.found))]
    )
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="generator" content="strop">
<meta name="referrer" content="no-referrer">
<title>{title}: audit</title>
<style>{style}</style>
</head>
<body>
<header class="wrap"><p class="brand">strop audit</p><h1>{title}</h1></header>
<main class="wrap">
{body}
{_classes(findings)}
</main>
<footer class="wrap">One file, no network. Nothing was changed; audit.json beside it names every file.</footer>
</body>
</html>
"""


def _verdict(findings: Findings) -> str:
    worst = findings.found[0].severity if findings.found else "fine"
    rows = "".join(
        f'<li><span class="tag {finding.severity}">{finding.severity}</span> '
        f'<a href="#f{i}">{escape(show_plain(finding.sentence))}</a></li>'
        for i, finding in enumerate(findings.found)
    )
    return (
        f'<section class="card verdict {worst}"><p class="headline">{escape(findings.sum)}</p>'
        f'<p class="soft">{escape(findings.summary)}</p><ul>{rows}</ul></section>'
    )


def _section(finding: Finding, findings: Findings, number: int) -> str:
    known = findings.collection.position if findings.collection is not None else {}
    drawn = [item for item in finding.items[:ITEMS] if any(name in known for name in item.files)]
    if drawn:
        parts = ['<div class="items">', *(_item(item, findings) for item in drawn), "</div>"]
        more = len(finding.items) - len(drawn)
    else:
        rows = "".join(f"<li>{escape(show_plain(_words(item)))}</li>" for item in finding.items[:LISTED])
        parts = [f'<ul class="text">{rows}</ul>'] if rows else []
        more = len(finding.items) - LISTED
    if more > 0:
        parts.append(f'<p class="soft">and {more:,} more in audit.json</p>')
    return (
        f'<section class="card {finding.severity}" id="f{number}"><div class="heading">'
        f'<span class="tag {finding.severity}">{finding.severity}</span><h2>{escape(finding.title)}</h2></div>'
        f"<p>{escape(show_plain(finding.sentence))}</p>{''.join(parts)}</section>"
    )


def _words(item: Item) -> str:
    return ": ".join(filter(None, [", ".join(item.files), item.note]))


def _item(item: Item, findings: Findings) -> str:
    figures = "".join(_figure(name, findings) for name in item.files[:PICTURES])
    rest = len(item.files) - PICTURES
    words = "; ".join(filter(None, [item.note, f"and {rest:,} more" if rest > 0 else ""]))
    return f'<div class="item"><div class="side">{figures}</div>' + (
        f"<p>{escape(show_plain(words))}</p></div>" if words else "</div>"
    )


def _figure(name: str, findings: Findings) -> str:
    i = findings.collection.position.get(name)
    picture, size = '<div class="none">no picture</div>', ""
    if i is not None:
        try:
            pixels = findings.collection.pixels(i)
        except (UserError, OSError):
            pixels = None
        if pixels is not None:
            size = f" ({pixels.shape[1]} x {pixels.shape[0]})"
            small = ' class="small"' if max(pixels.shape[:2]) <= _SMALL else ""
            picture = f'<img{small} alt="" src="{_thumbnail(pixels)}">'
    return f"<figure>{picture}<figcaption>{escape(show_plain(name))}{size}</figcaption></figure>"


def _thumbnail(pixels: np.ndarray) -> str:
    """The picture with its longer side at most 132 pixels, as a data URI: PNG where it is small, else JPEG."""
    height, width = pixels.shape[:2]
    share = _SIDE / max(height, width)
    if share < 1:
        size = (max(1, round(width * share)), max(1, round(height * share)))
        pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    if pixels.ndim == 3 and pixels.shape[2] == 3:
        pixels = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR)
    kind = "png" if max(height, width) <= _SMALL else "jpeg"
    _, data = cv2.imencode(f".{kind}", np.ascontiguousarray(pixels))
    return f"data:image/{kind};base64,{base64.b64encode(data.tobytes()).decode()}"


def _classes(findings: Findings) -> str:
    splits = list(findings.counts)
    names = list(next(iter(findings.counts.values()), {}))
    head = "".join(f"<th>{escape(split)}</th>" for split in splits)
    rows = "".join(
        f"<tr><td>{escape(show_plain(name))}</td>"
        + "".join(f"<td>{findings.counts[split][name]:,}</td>" for split in splits)
        + "</tr>"
        for name in names[:CLASSES]
    )
    more = f'<p class="soft">and {len(names) - CLASSES:,} more classes</p>' if len(names) > CLASSES else ""
    return (
        '<section class="card"><div class="heading"><h2>Classes</h2></div><div class="scroll">'
        f"<table><thead><tr><th>class</th>{head}</tr></thead><tbody>{rows}</tbody></table></div>{more}</section>"
    )
