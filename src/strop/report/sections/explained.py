"""The worst errors with their pictures, what is confused, which labels may be wrong, where the network looks."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..embedding import embed_picture
from ..markup import folded, listed
from ..numbers import percent

if TYPE_CHECKING:
    from ..models import Model

SHOWN = 40
"""So many errors, confusions and doubts are named."""
_TITLES = {
    "errors.png": "The worst errors",
    "doubts.png": "Labels that may be wrong",
    "cam.png": "Where the network looks",
}


def explained(model: Model, *, has_pictures: bool = True) -> str:
    """Without pictures what is left are the words."""
    found = ((folder, one) for folder, result in model.evaluations if (one := result.get("explained")))
    return "".join(_one(folder, about, has_pictures) for folder, about in found if isinstance(about, dict))


def _one(folder: Path, about: Mapping[str, Any], has_pictures: bool) -> str:
    errors, doubts = about.get("errors") or [], about.get("doubts") or []
    alts = {
        "errors.png": "; ".join(_error(one) for one in errors[:SHOWN]),
        "doubts.png": "; ".join(_doubt(one) for one in doubts[:SHOWN]),
        "cam.png": _cam(about.get("cam")),
    }
    shown = [name for name in about.get("files") or [] if name in _TITLES] if has_pictures else []
    pictures = "".join(_picture(folder / name, _TITLES[name], alts[name]) for name in shown)
    text = f"<h3>Errors on {escape(str(about.get('split', '?')))} pictures</h3>{pictures}"
    if errors:
        text += folded("The worst errors in words", listed(_error(one) for one in errors[:SHOWN]))
    if doubts:
        text += folded("Labels that may be wrong, in words", listed(_doubt(one) for one in doubts[:SHOWN]))
    return text


def _error(one: Mapping[str, Any]) -> str:
    return f"{one['name']}: {one['true']} taken for {one['predicted']}, {percent(one.get('confidence'))} % sure"


def _doubt(one: Mapping[str, Any]) -> str:
    return f"{one['name']}: labelled {one['true']}, probably {one['likely']}"


def _cam(about: Any) -> str:
    about = about if isinstance(about, dict) else {}
    return f"{about.get('method', 'Class activation maps')} of layer {about.get('layer', '?')}, laid over pictures"


def _picture(path: Path, title: str, alt: str) -> str:
    source = embed_picture(path)
    if source is None:
        return ""
    return (
        f'<figure class="picture"><figcaption>{escape(title)}</figcaption>'
        f'<img src="{source}" alt="{escape(alt)}"></figure>'
    )
