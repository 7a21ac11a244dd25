"""The pictures behind the figures: how many, how they were split, what an audit found, what was left out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..markup import facts, folded, listed
from ..models import read_object
from ..numbers import names

if TYPE_CHECKING:
    from ..models import Model

LEFT_OUT = 50
"""So many names of pictures that were left out are shown."""


def data(models: Sequence[Model]) -> str:
    """Each data set once, with the models that were trained on it."""
    groups: dict[str, list[Model]] = {}
    for model in models:
        if isinstance(model.data.get("fingerprint"), str):
            groups.setdefault(model.data["fingerprint"], []).append(model)
    found = []
    for members in groups.values():
        title = f"<h3>{escape(names([model.row.id for model in members]))}</h3>" if len(groups) > 1 else ""
        found.append(title + _about(members[0].data) + _audit(members) + _left_out(members[0].data))
    return f"<section><h2>Data</h2>{''.join(found)}</section>" if found else ""


def _about(about: Mapping[str, Any]) -> str:
    pairs = [("source", str(about.get("source", "?")))]
    if isinstance(about.get("classes"), list):
        pairs.append(("classes", f"{len(about['classes']):,}"))
    for split, counts in (about.get("counts") or {}).items():
        numbers = [count for count in counts.values() if isinstance(count, int)] if isinstance(counts, dict) else []
        if sum(numbers):
            low, high = min(numbers), max(numbers)
            each = f"{low:,} of each class" if low == high else f"{low:,} to {high:,} a class"
            rule = (about.get({"val": "validation"}.get(split, split)) or {}).get("rule") if split != "train" else None
            pairs.append((split, f"{sum(numbers):,} pictures, {each}" + (f"; {rule}" if rule else "")))
    return facts([*pairs, ("fingerprint", str(about["fingerprint"]))])


def _audit(models: Sequence[Model]) -> str:
    """The findings of the quick audit that a training makes, or of a whole one that lies beside the runs."""
    about = models[0].data
    whole = next((found for model in models if (found := _whole_audit(model.row.folder, about))), None)
    quick = next((model.data["audit"] for model in models if isinstance(model.data.get("audit"), dict)), None)
    audit = whole or quick
    if audit is None:
        return f"<p>Not audited: <code>strop audit {escape(str(about.get('source', 'DATA')))}</code></p>"
    kind = "The audit" if whole else "The quick audit before the training"
    findings = [one for one in audit.get("findings") or [] if isinstance(one, dict) and one.get("sentence")]
    if not findings:
        return f"<p>{kind} found nothing wrong.</p>"
    return f"<p>{kind} found:</p>" + listed(f"{one.get('severity', '?')}: {one['sentence']}" for one in findings)


def _whole_audit(folder: Path, about: Mapping[str, Any]) -> dict[str, Any] | None:
    for path in sorted(folder.parent.glob("*/audit.json"))[:50]:
        found = read_object(path)
        if not found.get("quick", True) and all(found.get(k) == about.get(k) for k in ("source", "location")):
            return found
    return None


def _left_out(about: Mapping[str, Any]) -> str:
    text = ""
    for key, words in (("unreadable", "can't be read and were left out"), ("excluded", "were left out by a list")):
        found = about.get(key)
        if isinstance(found, dict) and found:
            lines = [f"{name}: {why}" for name, why in list(found.items())[:LEFT_OUT]]
            more = [f"and {len(found) - LEFT_OUT:,} more, see data.json"] if len(found) > LEFT_OUT else []
            text += folded(f"{len(found):,} picture{'s' * (len(found) > 1)} {words}", listed([*lines, *more]))
    return text
