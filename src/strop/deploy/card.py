"""The page and the programs beside an exported file: what it is, how well it does, and how to call it."""

from __future__ import annotations

import json
import re
from importlib import resources

from ..data.picture import parse_colour
from ..runs import Run, file_hash
from ..writing import write_whole
from .forms import forms
from .settings import Settings

CARD = "README.md"
BESIDE = "in "
TEXT = """# {name}, exported by strop

`model.onnx` says which of {count} classes a picture shows: {classes}.

| | |
| --- | --- |
| network | {model}, {trained} |
| sees | the centre square of the picture, scaled to {size} x {size}{grey} |
| parameters | {parameters:,} |
| multiply-accumulates | {macs:,} |
| file | `model.onnx`, {bytes:,} bytes, `{hash}` |
| trained on | {source}, {pictures}, `{data}` |
| accuracy | {figures[accuracy]} |
| macro F1 | {figures[macro F1]} |
| calibration | {figures[calibration]} |
| latency | {figures[latency]}, 1 thread, {processor} |
{beside}| resizing | {figures[resizing]} |

These figures were measured on this very file; `evidence.json` holds them with the hashes of all files of this folder,
of the data and the parents. `strop verify` on this folder measures again and says whether all of it still holds.

## Call it

Input `images`: uint8, (B, H, W, 3), RGB, upright, any height and width. Output `probabilities`: float32, (B, {count}),
in the order of `classes.json`. Cutting, scaling and normalising are in the graph: hand the pixels in as they are.

```sh
pip install numpy onnxruntime pillow && python predict.py picture.jpg
npm install && node predict.mjs picture.jpg
strop predict . picture.jpg
```

What the caller does: decode, turn upright by EXIF, lay transparent parts on {alpha}, take the upper 8 of 16 bits, give
RGB. Both programs do, and decode JPEG, PNG, WebP, GIF, BMP and TIFF to the pixels that strop measured on, but for CMYK
in `predict.mjs`, where some are one level off. At a file that can't be read they stop with a sentence and exit code 1.

{forms}## Limits

* One class is always given. A picture of anything else gets one too, and can get it with a high probability.
* The accuracy holds for pictures like those it was measured on, taken the same way, classes in the same shares.
* {n} pictures were measured: the accuracy is known to within {width:.1f} points, that of a class less well.
* What lies outside the centre square is not looked at. The latency is that of pictures of {size} x {size}; larger ones
  are scaled first, which takes longer the larger they are.

## Licences

strop adds no licence to this file: what you may do with it follows from the licences of the pictures and, where
training began from ready weights, of these. ONNX Runtime is MIT, NumPy BSD-3, Pillow MIT-CMU, Jimp MIT,
jSquash Apache-2.0 with MozJPEG and libwebp (BSD-3).
"""

FORMS = """## Other forms of the same network

| file | measured on the same pictures |
| --- | --- |
"""


def write_card(run: Run, result: dict, settings: Settings, resizing: dict, source: str) -> None:
    """Write README.md and the two programs."""
    scores, model, latency = result["measured"][0], result["model"], result["latency"]["latency_ms"]
    low, high = scores["accuracy_interval"]
    counts = [sum(run.data["counts"]["train"].values())] if (run.folder / "data.json").is_file() else []
    rows = figures(scores, latency, resizing, settings.temperature, result.get("runtimes", []))
    card = TEXT.format(
        name=run.record["parents"]["parent"]["id"],
        model=model["name"],
        size=settings.input_size,
        grey=", in grey" if settings.channels == 1 else "",
        count=len(scores["classes"]),
        classes=_listed(scores["classes"]),
        trained=", ".join(model["trained"]) or "trained plainly",
        parameters=model["parameters"],
        macs=model["macs"],
        bytes=model["bytes"],
        hash=file_hash(run.folder / "model.onnx"),
        source=source,
        pictures=f"{counts[0]:,} pictures" if counts else "its pictures",
        data=scores["data"],
        n=f"{scores['n']:,}",
        width=100 * max(high - scores["accuracy"], scores["accuracy"] - low),
        figures=rows,
        beside="".join(f"| {name} | {row} |\n" for name, row in rows.items() if name.startswith(BESIDE)),
        processor=run.record["machine"]["processor"],
        alpha=settings.alpha,
        forms=_forms(result.get("forms", []), settings.input_size),
    )
    write_whole(run.folder / CARD, card.encode())
    for name, program in clients(settings.alpha).items():
        write_whole(run.folder / name, program)


def figures(scores: dict, latency_ms: dict, resizing: dict, temperature: float, runtimes: list[dict]) -> dict[str, str]:
    """The rows of the card's table that were measured, by their names; `verify` reads them again.

    Those of further runtimes begin with `BESIDE`.
    """
    low, high = scores["accuracy_interval"]
    interval = f"{100 * low:.2f} to {100 * high:.2f}, {scores['interval_method']}"
    loss, ece = (_digits(scores.get(name)) for name in ("loss", "ece"))
    fitted = "" if temperature != 1 else " (not fitted)"
    return {
        "accuracy": f"{100 * scores['accuracy']:.2f} % on {scores['n']:,} {scores['split']} pictures ({interval})",
        "macro F1": f"{100 * scores['macro_f1']:.2f} %",
        "calibration": f"NLL {loss}, ECE {ece}, temperature {temperature:g}{fitted}",
        "latency": f"{latency_ms['p50']:.3f} ms a picture (p50; p95 {latency_ms['p95']:.3f})",
        "resizing": f"{resizing['same_class']:,} of {resizing['n']:,} pictures get the class that they get when strop "
        "scales them itself",
        **{f"{BESIDE}{about['name']} {about['version']}": _beside(about) for about in runtimes[1:]},
    }


def _beside(about: dict) -> str:
    differ, latency = about["disagreements"], about["latency_ms"]
    return (
        f"accuracy {100 * about['accuracy']:.2f} %, {differ['count']:,} of {about['n']:,} answers differ; latency "
        f"{latency['p50']:.3f} ms (p95 {latency['p95']:.3f})"
    )


def clients(alpha: str) -> dict[str, bytes]:
    """The programs by the names of their files, the colour below transparent parts put in."""
    below, folder = parse_colour(alpha), resources.files(__package__) / "clients"
    return {
        name: re.sub(pattern, value, (folder / source).read_text(encoding="utf-8")).encode()
        for name, source, pattern, value in (
            ("predict.py", "client.py.txt", r"\bBELOW\b", str(below)),
            ("predict.mjs", "predict.mjs", r"\[255, 255, 255\]", json.dumps(below)),
            ("package.json", "package.json", "(?!)", ""),
        )
    }


def form_figures(measured: list[dict]) -> dict[str, str]:
    """As `figures`, of the other forms: a row for each, by its files."""
    rows = {}
    for block in measured:
        files, agreement = block["files"], block["agreement"]
        rows[", ".join(f"`{file}`" for file in files)] = (
            f"{sum(file['bytes'] for file in files.values()):,} bytes, {100 * block['accuracy']:.2f} %, the class of "
            f"`model.onnx` on {agreement['same_class']:,} of {agreement['n']:,} pictures, {block['runtime']}"
        )
    return rows


def _forms(measured: list[dict], size: int) -> str:
    """The part of the card about other forms; "" without any."""
    rows, programs = [], []
    for (files, figure), block in zip(form_figures(measured).items(), measured, strict=True):
        form = forms.get(block["form"])
        program = form.program.strip().replace("{size}", str(size))
        rows.append(f"| {files} | {figure} |\n")
        programs.append(f"{files}: {form.about}\n\n```python\n{program}\n```\n\n")
    return FORMS + "".join(rows) + "\n" + "".join(programs) if measured else ""


def _listed(classes: list[str], most: int = 40) -> str:
    shown = ", ".join(json.dumps(name, ensure_ascii=False) for name in classes[:most])
    return shown if len(classes) <= most else f"{shown} and {len(classes) - most} more (`classes.json`)"


def _digits(value: float | None) -> str:
    return "not measured" if value is None else f"{value:.3f}"
