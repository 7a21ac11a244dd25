"""Write src/strop/models/index.json: every classifier of torchvision and timm, and our own, with size and cost.

Run it after a new version of either library, or a new model of our own (no network):

    PYTHONPATH=src python tools/make_model_index.py

Models are built without storage ("meta" device) at 1000 classes; MACs are counted for the input size that the
library trains the model at. What can't be counted is null. Counts of a library whose version is the one in the index
are taken from there (a second); all of timm takes about ten minutes on one core.
"""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import timm
import torch
import torchvision
from torch import nn

from strop.measure.complexity import MACS_CONVENTION, count_macs
from strop.models import building, models

OUT = Path(__file__).parent.parent / "src" / "strop" / "models" / "index.json"
CLASSES = 1000


def names_and_sizes() -> Iterator[tuple[str, str, int]]:
    """(library, name, pixels a side); a timm model for pictures that are not square gets the longer side."""
    for entry in models.entries().values():
        yield "strop", entry.name, entry.options["input_size"].default
    for name in torchvision.models.list_models(module=torchvision.models):
        yield "torchvision", name, torchvision.models.get_model_weights(name).DEFAULT.transforms().crop_size[0]
    for name in timm.list_models():
        yield "timm", name, building.timm_input_size(name)


def weights_of(library: str, name: str, size: int) -> str | None:
    """Where published weights come from: torchvision, or timm's hub; None where there are none."""
    if library == "timm":
        return "timm" if timm.get_pretrained_cfg(name).has_weights else None
    if library == "strop" and getattr(build(library, name, size), "published", None) is None:
        return None
    return "torchvision"


def describe(library: str, name: str, size: int, before: dict) -> dict:
    """One line of the index; `before` holds the lines that still count, by library and name."""
    line = {"name": name, "library": library, "parameters": None, "macs": None, "input_size": size}
    line["weights"] = weights_of(library, name, size)
    old = before.get((library, name))
    if old and old["input_size"] == size:
        return line | {"parameters": old["parameters"], "macs": old["macs"]}
    try:
        model = build(library, name, size)
        line["parameters"] = sum(parameter.numel() for parameter in model.parameters())
        line["macs"] = count_macs(model, (3, size, size))
    except Exception as error:  # any of 1400 models may fail in its own way; the line says null and we go on
        print(f"{library}:{name}: {type(error).__name__}: {str(error)[:150]}", file=sys.stderr)
    return line


def build(library: str, name: str, size: int) -> nn.Module:
    arguments = (library, name, CLASSES, 3, size, False, {})
    try:
        with torch.device("meta"):
            return building.build(*arguments)
    except (NotImplementedError, RuntimeError):  # some compute their widths with tensors
        return building.build(*arguments)


def still_counted(versions: dict[str, str]) -> dict:
    """Lines of the present index whose library has not changed since; our own may change on any day."""
    old = json.loads(OUT.read_text(encoding="utf-8")) if OUT.is_file() else {"versions": {}, "models": []}
    same = {library for library in versions if versions[library] == old["versions"].get(library)}
    same &= {library for library in versions if old.get("macs_convention") == MACS_CONVENTION}
    return {(line["library"], line["name"]): line for line in old["models"] if line["library"] in same}


def main() -> None:
    warnings.simplefilter("ignore")
    versions = {library: version(library) for library in ("torchvision", "timm")}
    before = still_counted(versions)
    lines = [describe(*described, before) for described in names_and_sizes()]
    head = {
        "made_by": "tools/make_model_index.py",
        "versions": versions,
        "classes": CLASSES,
        "macs_convention": MACS_CONVENTION,
    }
    rows = ",\n".join(json.dumps(line) for line in lines)
    OUT.write_text(json.dumps(head)[:-1] + ', "models": [\n' + rows + "\n]}\n", encoding="utf-8")
    missing = sum(line["macs"] is None for line in lines)
    print(f"{OUT}: {len(lines)} models, {missing} without MACs, {OUT.stat().st_size} bytes")


if __name__ == "__main__":
    main()
