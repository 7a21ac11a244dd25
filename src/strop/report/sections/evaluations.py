"""What `strop evaluate` found out besides the scores: copies, abstaining, outliers, robustness."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from ..markup import bar, exact, folded, grid
from ..numbers import percent

if TYPE_CHECKING:
    from ..models import Model


def without_copies(model: Model) -> str:
    found = (model.row.measured or {}).get("without_copies")
    if not isinstance(found, dict) or found.get("accuracy") is None:
        return ""
    interval = found.get("accuracy_interval") or []
    spread = f" (95 % interval {' to '.join(percent(bound) for bound in interval)})" if interval else ""
    return (
        f"<p>Without the {found.get('exact', 0)} equal and {found.get('near', 0)} near copies of training pictures: "
        f"{exact(found['accuracy'], percent(found['accuracy']))} %{spread} of {found.get('n', 0):,} pictures.</p>"
    )


def abstaining(model: Model) -> str:
    """Thresholds and conformal sets: what can be promised where some answers are withheld, or are sets."""
    found = (model.row.measured or {}).get("abstaining")
    if not isinstance(found, dict):
        return ""
    text = f'<p class="soft">Chosen on {escape(str(found.get("chosen_on", "?")))}, measured on the pictures above.</p>'
    if found.get("thresholds"):
        lines = (
            [
                exact(one["threshold"], f"{one['threshold']:.3f}"),
                exact(one["aim"], percent(one["aim"])),
                bar(one["coverage"]) + exact(one["coverage"], percent(one["coverage"])),
                exact(one.get("accuracy"), percent(one.get("accuracy"))),
            ]
            for one in found["thresholds"]
        )
        heads = ["withhold below", "aim, %", "answered, %", "right of these, %"]
        text += grid("Thresholds", heads, lines, flat=True)
    if found.get("conformal"):
        lines = (
            [
                escape(f"{one['method']} at {percent(one['aim'])} %"),
                bar(one["coverage"]) + exact(one["coverage"], percent(one["coverage"])),
                exact(one["mean_size"], f"{one['mean_size']:.2f}"),
            ]
            for one in found["conformal"]
        )
        text += grid("Conformal sets", ["sets", "hold the truth, %", "classes on average"], lines, flat=True)
    return f"<h3>Abstaining</h3>{text}"


def outliers(model: Model) -> str:
    parts = []
    for found in _all(model, "outliers"):
        lines = (
            [escape(one["score"]), bar(one["auroc"]) + exact(one["auroc"], f"{one['auroc']:.3f}"),
             exact(one.get("fpr_at_95_tpr"), percent(one.get("fpr_at_95_tpr")))]
            for one in found.get("scores") or []
        )  # fmt: skip
        counts = [f"{found.get(key, 0):,}" for key in ("n_outliers", "n")]
        title = f"{counts[0]} pictures of {found.get('data', '?')} against {counts[1]} of its own"
        heads = ["score", "AUROC", "outliers let in at 95 % of its own, %"]
        parts.append(f"<p>{escape(title)}</p>{grid('Outliers', heads, lines, flat=True)}")
    return f"<h3>Pictures of something else</h3>{''.join(parts)}" if parts else ""


def robustness(model: Model) -> str:
    return "".join(_robustness(found) for found in _all(model, "robustness"))


def _robustness(found: Mapping[str, Any]) -> str:
    whole = found.get("accuracy")
    text = f"<p>{found.get('n', 0):,} {escape(str(found.get('split', '')))} pictures"
    text += f", {exact(whole, percent(whole))} % right as they are" if whole is not None else ""
    if found.get("corrupted_accuracy") is not None:
        text += f", {exact(found['corrupted_accuracy'], percent(found['corrupted_accuracy']))} % when corrupted"
    text += ".</p>" + _corruptions(found.get("corruptions") or [])
    for key, name, word in (("sizes", "size", "Accuracy at other sizes"), ("flips", "flip", "Accuracy when flipped")):
        if found.get(key):
            lines = ([escape(str(one[name])), _share(one.get("accuracy"))] for one in found[key])
            text += folded(word, grid(word, [name, "accuracy, %"], lines, flat=True))
    return f"<h3>Robustness</h3>{text}"


def _corruptions(found: Sequence[Mapping[str, Any]]) -> str:
    """A line a corruption, a column a strength; the one that costs most first. Means are this page's own figures."""
    if not found:
        return ""
    strengths = sorted({one["strength"] for one in found})
    table: dict[str, dict[Any, float]] = {}
    for one in found:
        table.setdefault(str(one["corruption"]), {})[one["strength"]] = one["accuracy"]
    ordered = sorted(table.items(), key=lambda item: sum(item[1].values()) / len(item[1]))
    means = {name: sum(found.values()) / len(found) for name, found in ordered}
    lines = (
        [escape(name), bar(means[name]) + f'<span class="mean">{percent(means[name])}</span>']
        + [exact(found.get(strength), percent(found.get(strength))) for strength in strengths]
        for name, found in ordered
    )
    heads = ["corruption", "mean, %", *(f"strength {strength}" for strength in strengths)]
    return grid("Accuracy under corruptions", heads, lines, flat=True)


def _share(value: float | None) -> str:
    return "" if value is None else bar(value) + exact(value, percent(value))


def _all(model: Model, key: str) -> list[dict[str, Any]]:
    return [found for _, result in model.evaluations if isinstance(found := result.get(key), dict)]
