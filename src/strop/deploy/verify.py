"""Hold an export folder against its own evidence, as far as that goes without pictures. The folder may be anyone's."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..errors import UserError
from .evidence import (
    CLASSES,
    COUNTED,
    LARGEST_MODEL,
    MODEL,
    SUMMED,
    Evidence,
    InRuntime,
    Listed,
    open_inside,
    read_limited_json,
)
from .settings import METADATA, About, Settings, read_about

CLOSE = 1e-6  # relative, float32 against the numbers in the evidence
SAME_SUM = 1e-3  # of figures that are sums of logarithms or squares, whose last digits differ between machines


class Check(NamedTuple):
    """One thing that was held against the evidence: what it is, whether it holds, and what was found.

    `holds` is None for what could not be measured here.
    """

    name: str
    holds: bool | None
    said: str


def check_file(folder: Path, file: str, about: Evidence | Listed, name: str = "file") -> tuple[Check, bytes]:
    """Size and sha256 of a model file, and its bytes, which all further checks use. A larger file is not read."""
    try:
        with open_inside(folder / file) as opened:
            size = opened.seek(0, 2)
            opened.seek(0)
            raw = opened.read(about.bytes) if size <= LARGEST_MODEL else b""
    except OSError as error:
        return Check(name, False, f"{file} can't be read ({error.strerror or error})"), b""
    if size != about.bytes:
        return Check(name, False, f"{file} has {size:,} bytes, the evidence says {about.bytes:,}"), b""
    found = hashlib.sha256(raw).hexdigest()
    if found != about.sha256:
        said = f"{file} is another file: its sha256 is {found[:12]}..., the evidence says {about.sha256[:12]}..."
        return Check(name, False, said), raw
    return Check(name, True, f"{file}, {size:,} bytes, sha256 {found[:12]}..."), raw


def check_classes(folder: Path, evidence: Evidence, about: About | None) -> Check:
    """Names and order in classes.json, in the file itself and in model.json, where there is one."""
    if not (folder / CLASSES).exists():
        return Check("classes", False, f"{CLASSES} is not there")
    places: dict[str, Any] = {CLASSES: read_limited_json(folder / CLASSES)}
    if about is not None:
        places[MODEL] = about.classes
    if (folder / "model.json").exists():
        description = read_limited_json(folder / "model.json")
        places["model.json"] = description.get("classes") if isinstance(description, dict) else None
    for place, names in places.items():
        if names != evidence.classes:
            return Check("classes", False, f"{place} {_first_difference(names, evidence.classes)}")
    return Check("classes", True, f"{len(evidence.classes)}, in the order of the outputs")


def _first_difference(found: Any, expected: list[str]) -> str:
    if not isinstance(found, list):
        return "holds no list of names"
    if len(found) != len(expected):
        return f"has {len(found)} names, the evidence has {len(expected)}"
    place = next(i for i, (a, b) in enumerate(zip(found, expected, strict=True)) if a != b)
    return f"has {str(found[place])[:40]!r} as number {place}, the evidence has {expected[place][:40]!r}"


def read_graph(raw: bytes) -> tuple[Any, About | None]:
    """The model that the bytes hold, and what it says about itself; (None, None) where they are no such file."""
    import onnx

    try:
        model = onnx.load_from_string(raw)
        return model, read_about({item.key: item.value for item in model.metadata_props if item.key == METADATA}, MODEL)
    except UserError:
        return model, None
    except Exception:  # protobuf raises classes of its own for damaged bytes
        return None, None


def check_preprocessing(folder: Path, evidence: Evidence, model: Any, about: About | None) -> Check:
    """Size, mean, SD, temperature and alpha in the file, in its graph and in model.json."""
    name, expected = "preprocessing", evidence.preprocess
    if model is None or about is None:
        return Check(name, False, f"{MODEL} does not say what it does to pictures")
    wrong = _settings_that_differ(about.preprocess.model_dump(), expected, MODEL) or _graph_that_differs(
        model.graph, expected
    )
    if not wrong and (folder / "model.json").exists():
        description = read_limited_json(folder / "model.json")
        found = description.get("preprocess") if isinstance(description, dict) else None
        wrong = _settings_that_differ(found if isinstance(found, dict) else {}, expected, "model.json")
    if wrong:
        return Check(name, False, wrong)
    size, temperature = expected.input_size, expected.temperature
    return Check(name, True, f"{size} x {size}, mean, SD and temperature {temperature:g}")


def _settings_that_differ(found: dict[str, Any], expected: Settings, place: str) -> str | None:
    for option, value in expected.model_dump().items():
        if option == "temperature" and option not in found:
            continue  # model.json describes the network, which has none
        other = found.get(option)
        other = tuple(other) if isinstance(other, list) else other
        if other != value:
            return f"{option} is {_shown(other)} in {place}, {_shown(value)} in the evidence"
    return None


def _graph_that_differs(graph: Any, expected: Settings) -> str | None:
    """Whether the numbers and nodes at both ends of the graph are those that export writes for these settings."""
    from onnx import numpy_helper

    from .preprocessing import SCALE, SHIFT, TEMPERATURE, before, constants

    found = {tensor.name: tensor for tensor in graph.initializer if tensor.name in (SCALE, SHIFT, TEMPERATURE)}
    numbers = constants(expected)
    for name, words in ((SCALE, "the SD"), (SHIFT, "the mean"), (TEMPERATURE, "the temperature")):
        value = numpy_helper.to_array(found[name]) if name in found else np.zeros(0)
        if value.shape != numbers[name].shape or not np.allclose(value, numbers[name], rtol=CLOSE, atol=0):
            return f"{words} in the graph of {MODEL} is not that in the evidence"
    first = before(expected, "network").node
    ours = list(graph.node[: len(first)])
    target = ours[-1].output[0] if len(ours) == len(first) and ours[-1].output else ""
    if ours != list(before(expected, target).node):
        return f"the graph of {MODEL} does not cut and scale as the evidence says"
    last = [node.op_type for node in graph.node[-2:]]
    if last != ["Div", "Softmax"] or TEMPERATURE not in graph.node[-2].input:
        return f"the graph of {MODEL} does not end in softmax of logits / temperature"
    return None


def _shown(value: Any) -> str:
    if isinstance(value, tuple):
        return "(" + ", ".join(map(_shown, value)) + ")"
    return f"{value:.6g}" if isinstance(value, float) else repr(value)[:60]


def check_scores(scores: dict[str, Any], evidence: Evidence, tolerance: float) -> Check:
    """The figures measured now against those in the evidence.

    Args:
        tolerance: points of percent that accuracy, the macro averages and top-5 may differ by; 0 for none.
    """
    then, right = evidence.accuracy, round(scores["accuracy"] * scores["n"])
    shown = f"{100 * scores['accuracy']:.2f} % ({right:,} of {scores['n']:,} {then.split})"
    if scores["n"] != then.n:
        return Check("accuracy", False, f"{scores['n']:,} pictures are there, the evidence says {then.n:,}; {shown}")
    for name in (*COUNTED, *SUMMED):
        before, now = getattr(then, name), scores.get(name)
        if before is None:
            continue
        granted = tolerance / 100 + 1e-9 if name in COUNTED else max(SAME_SUM * max(1, abs(before)), tolerance / 100)
        if now is None or abs(now - before) > granted:
            said = [_figure(name, value) for value in (now, before)]
            return Check("accuracy", False, f"{name} is {said[0]}, the evidence says {said[1]}; now {shown}")
    return Check("accuracy", True, shown)


def _figure(name: str, value: float | None) -> str:
    if value is None:
        return "not measured"
    return f"{100 * value:.2f} %" if name in COUNTED else f"{value:.4f}"


def check_runtime(then: InRuntime, scores: dict[str, Any] | None, tolerance: float) -> Check:
    """The accuracy in a further runtime against that in the evidence; `scores` is None where it is not installed."""
    name = f"in {then.name}"
    if scores is None:
        return Check(name, None, f"not measured: {then.name} is not installed")
    now, right = scores["accuracy"], round(scores["accuracy"] * scores["n"])
    shown = f"{100 * now:.2f} % ({right:,} of {scores['n']:,})"
    if scores["n"] != then.n or abs(now - then.accuracy) > tolerance / 100 + 1e-9:
        return Check(name, False, f"accuracy is {shown}, the evidence says {100 * then.accuracy:.2f} %")
    return Check(name, True, shown)
