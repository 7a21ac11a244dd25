"""What pruning and quantizing took away, layer by layer: tables with bars, from result.json."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from html import escape
from typing import TYPE_CHECKING, Any

from ..markup import bar, exact, facts, folded, grid, listed
from ..numbers import percent, significant
from ..stored import total, word_bits, word_layer, word_ratio

if TYPE_CHECKING:
    from ..models import Model

LAYERS = 100
"""Of more layers than this the first are shown."""


def pruning(model: Model) -> str:
    found = model.result.get("pruning")
    if not isinstance(found, dict):
        return ""
    pairs = []
    if found.get("budget"):
        unit = " ms" if found.get("kind") == "latency" else ""
        unit = " that are not zero" if found.get("method") == "unstructured" else unit
        pairs = [
            ("budget", f"{found['budget']} of the {found.get('kind', 'params')}"),
            ("before and after", " to ".join(_count(found.get(key)) for key in ("before", "after")) + unit),
            ("method", _method(found)),
        ]
    for name, title, key in (("blocks", "blocks taken out", "block"), ("rounds", "in rounds, to", "after")):
        rows = found.get(name)
        if isinstance(rows, list) and rows and all(isinstance(row, dict) for row in rows):
            told = (str(row.get(key, "?")) if name == "blocks" else _count(row.get(key)) for row in rows)
            pairs.append((title, ", ".join(told)))
    before = found.get("accuracy_before_fine_tuning")
    if isinstance(before, int | float):
        pairs.append(("accuracy before fine-tuning", f"{percent(before)} %, on validation pictures"))
    text = f"<h3>Pruning</h3>{facts(pairs)}" + _controls(found.get("controls"))

    def done(row: Mapping) -> str:
        return f"{row['width'] - row['kept']:,} of {row['width']:,} channels gone"

    text += _alone(found.get("sensitivity"), "group", done, "What each group costs alone, the worst first")
    return text + _widths(found.get("widths")) + _stored(found)


def _method(found: Mapping[str, Any]) -> str:
    """'channels by group-norm, local', 'svd: 4 layers are two', 'unstructured, global'"""
    if found.get("method") == "svd":
        return f"svd: {len(found.get('ranks', ()))} layers are two thin ones"
    way = "unstructured" if found.get("method") == "unstructured" else f"channels by {found.get('criterion', '?')}"
    return f"{way}, {found.get('scope', '?')}"


def _controls(found: Any) -> str:
    """The same budget spent otherwise: a small network from scratch, the large one trained longer."""
    lines = []
    for key, words in (("scratch", "trained from scratch"), ("longer", "the parent trained as long")):
        one = found.get(key) if isinstance(found, dict) else None
        if isinstance(one, dict) and one.get("accuracy") is not None:
            low, high = (f"{100 * bound:+.1f}" for bound in one["interval"])
            difference = f"{100 * one['difference']:+.1f} points [{low}, {high}], p = {one['p']:.3f}"
            lines.append(f"Against {words} ({percent(one['accuracy'])} %) it is {one['verdict']}: {difference}.")
    return listed(lines) if lines else ""


def _widths(widths: Any) -> str:
    if not isinstance(widths, dict) or not widths:
        return ""
    changed = [(name, old, new) for name, (old, new) in widths.items() if old != new]
    lines = (
        [escape(name), f"{old:,}", bar(new / old if old else 0) + f"{new:,}", percent(new / old if old else None, 0)]
        for name, old, new in changed[:LAYERS]
    )
    title = f"Channels of {len(changed)} layers, before and after"
    return folded(title, grid("Channels", ["layer", "before", "after", "kept, %"], lines, flat=True))


def quantization(model: Model) -> str:
    found = model.result.get("quantization")
    if not isinstance(found, dict):
        return ""
    pairs = _trained(found) if "epochs" in found else _calibrated(found)
    if isinstance(found.get("limit"), int):
        pairs.append(("budget", f"{found['limit']:,} bytes for the file, so bits differ by layer"))
    if isinstance(found.get("max_drop"), int | float):
        pairs.append(("may lose", f"{percent(found['max_drop'], 2)} points, so bits differ by layer where need be"))
    if isinstance(found.get("agreement"), int | float):
        pairs.append(("answers as its parent", f"on {percent(found['agreement'])} % of the validation pictures"))
    if isinstance(found.get("accuracy_drop"), int | float):
        word, lost = "lost" if found["accuracy_drop"] >= 0 else "gained", abs(found["accuracy_drop"])
        pairs.append((f"accuracy {word}", f"{percent(lost, 2)} points, on validation pictures"))
    text = f"<h3>Quantization</h3>{facts(pairs)}"
    kept = {name: word for word, names in (found.get("kept") or {}).items() for name in names}

    def done(row: Mapping) -> str:
        words = f"{row['bits']} bits"
        return f"{words}; kept in {kept[row['layer']]}" if row["layer"] in kept else words

    rows = found.get("sensitivity") or []
    title = f"What each of {len(rows)} layers costs alone, the worst first"
    return text + _alone(rows, "layer", done, title) + _stored(found)


def _calibrated(found: Mapping[str, Any]) -> list[tuple[str, str]]:
    """How ranges and biases were found without training."""
    pairs = [("scheme", f"{found.get('scheme', '?')}, calibrated by {found.get('calibrator', '?')}")]
    if isinstance(found.get("images"), int):
        pairs.append(("calibrated on", f"{found['images']:,} training pictures"))
    titles = {"equalize": "layers equalised", "bias_correction": "biases corrected"}
    done = [title for name, title in titles.items() if found.get(name) is True]
    return pairs + ([("before rounding", " and ".join(done))] if done else [])


def _trained(found: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What trained while it rounded: in torch, in the file, and in float for as long."""
    epochs, accuracy = found["epochs"], lambda name: (found.get(name) or {}).get("accuracy")
    pairs = [("scheme", f"{found.get('scheme', '?')}, {epochs} epoch{'s' if epochs != 1 else ''} of training with it")]
    if isinstance(found.get("images"), int):
        pairs.append(("ranges", f"trained too; they began with those of {found['images']:,} training pictures"))
    figures = {
        "float parent": accuracy("float"),
        "trained network, rounding in torch": accuracy("fake_quantized"),
        "its file, in ONNX Runtime": accuracy("file"),
        "calibrated with the same bits, not trained": accuracy("calibrated"),
        "control: the float parent, trained as long": accuracy("control"),
    }
    return pairs + [(title, f"{percent(value, 2)} %") for title, value in figures.items() if value is not None]


def _alone(rows: Any, name: str, done: Callable[[Mapping], str], title: str) -> str:
    """What it costs to change one group or layer alone, the worst first.

    Args:
        name: the key of what is changed; done: what is done to it, in words.
    """
    if not rows:
        return ""
    ordered = sorted(rows, key=lambda row: -row["loss_rise"])[:LAYERS]
    most = max(ordered[0]["loss_rise"], 1e-12)
    lines = (
        [
            escape(row[name]),
            escape(done(row)),
            bar(row["loss_rise"] / most) + exact(row["loss_rise"], _signed(row["loss_rise"])),
            exact(row["accuracy_drop"], percent(row["accuracy_drop"], 2)),
        ]
        for row in ordered
    )
    heads = [name, "alone", "rise of the loss, nats", "accuracy lost, points"]
    return folded(title, grid(title, heads, lines, texts=2, flat=True))


def _signed(value: float) -> str:
    return f"-{significant(-value, 2)}" if value < 0 else significant(value, 2)


def _stored(found: Mapping[str, Any]) -> str:
    """What each layer takes in the file, and whether that saves time too."""
    layers = found.get("layers") or []
    note = f"<p>{escape(found['note'])}</p>" if isinstance(found.get("note"), str) else ""
    if not layers:
        return note
    lines = (
        [
            escape(word_layer(layer)),
            exact(layer["sparsity"], percent(layer["sparsity"])),
            escape(word_bits(layer)),
            exact(layer["bytes_before"], f"{layer['bytes_before']:,}"),
            bar(layer["bytes_after"] / max(1, layer["bytes_before"]))
            + exact(layer["bytes_after"], f"{layer['bytes_after']:,}"),
            exact(layer["ratio"], word_ratio(layer["ratio"])),
        ]
        for layer in layers[:LAYERS]
    )
    whole = total(layers)
    sizes = f"{whole['bytes_before']:,} to {whole['bytes_after']:,}, {word_ratio(whole['ratio'])} times smaller"
    heads = ["layer", "zeros, %", "bits", "bytes before", "bytes after", "times smaller"]
    title = f"Bytes of {len(layers)} layers: {sizes}"
    return note + folded(title, grid("Bytes of each layer", heads, lines, flat=True))


def _count(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}" if isinstance(value, float) else "?"
