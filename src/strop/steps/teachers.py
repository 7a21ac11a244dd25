"""Who teaches: a run, several runs, the unpruned parent, or a published network by name. No torch before they load."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BeforeValidator, PlainSerializer

from .. import models
from ..config import RunReference
from ..errors import UserError
from ..fetching import NotFetched
from ..models.choice import read_model
from ..runs import Run, file_hash, write_json
from .step import log

if TYPE_CHECKING:
    from torch import nn

    from ..models.classifier import Classifier

PARENT = "parent"
_BETWEEN = re.compile(r",(?!\w+=)")  # runs/a,runs/b and resnet50:weights=x.safetensors,runs/b
_WEIGHTS = re.compile(r"(.+?)[:,]weights=(.+)")


def _read_teachers(value: Any) -> list[str] | None:
    """Text with commas, a run, or a list of them."""
    if value is None or value == "none":
        return None
    names = [str(getattr(name, "folder", name)) for name in split_teachers(value)]
    if not names or not all(names) or "\0" in "".join(names):
        raise ValueError(f"{value!r} names no teachers. Give runs joined by commas, parent, or a network's name.")
    if len(set(names)) < len(names):
        raise ValueError(f"'{max(names, key=names.count)}' is given twice. Name each teacher once.")
    return [_with_whole_path(name) for name in names]


def split_teachers(value: Any) -> list[Any]:
    """Text with commas as a list; what is a list stays one.

    >>> split_teachers("runs/a, tv:resnet50:weights=w.safetensors")
    ['runs/a', 'tv:resnet50:weights=w.safetensors']
    """
    if isinstance(value, str) and not is_run(value):
        return [name.strip() for name in _BETWEEN.split(value)]
    return list(value) if isinstance(value, list | tuple) else [value]


def _with_whole_path(name: str) -> str:
    found = _WEIGHTS.fullmatch(name)
    return f"{found[1]}:weights={os.path.abspath(found[2])}" if found else name


Teachers = Annotated[
    list[RunReference] | None,
    BeforeValidator(_read_teachers),
    PlainSerializer(lambda names: names[0] if names and len(names) == 1 else names),
]


def is_run(name: str) -> bool:
    return (Path(name) / "run.json").is_file()


def is_known(name: str) -> bool:
    """Whether it means something without being a run: `parent`, or a network."""
    try:
        return name == PARENT or read_model(_split(name)[0]) is not None
    except ValueError:
        return False


def _split(name: str) -> tuple[str, Path | None]:
    """`resnet50:weights=FILE` as a network and a file."""
    found = _WEIGHTS.fullmatch(name)
    return (found[1], Path(found[2])) if found else (name, None)


def published(names: Sequence[str] | None) -> list[str]:
    """Those that are neither runs nor `parent`."""
    return [name for name in names or () if name != PARENT and not is_run(name)]


def open_teachers(names: Sequence[str] | None, parents: dict[str, Run]) -> dict[str, Run]:
    """The runs among the teachers by role: teacher, teacher-2, teacher-3 ...

    Raises:
        UserError: a name that is neither a run nor a network, or `parent` without one.
    """
    found: dict[str, Run] = {}
    for number, name in enumerate(names or (), 1):
        if name == PARENT:
            if "parent" not in parents:
                raise UserError("teacher: parent", "there is none. Add --parent RUN, or name the teacher's run.")
            run = unpruned(parents["parent"])
        elif is_run(name):
            run = Run.open(name)
        elif is_known(name):
            continue
        else:
            raise UserError(
                f"teacher: {name}",
                "is neither a run folder nor a network. Give a folder that strop made, parent, or a name that "
                "`strop models` lists.",
            )
        _ = run.model_file
        found["teacher" if number == 1 else f"teacher-{number}"] = run
    return found


def unpruned(run: Run) -> Run:
    """The run itself or, where it or a run it came from was pruned, the one that was pruned first.

    Raises:
        UserError: that one is gone, or was changed.
    """
    from .prune import WORDS  # which imports this module

    found = at = run
    while about := at.record["parents"].get("parent"):
        above, was_pruned = Run(at.folder / about["path"]), at.record["verb"] == "prune"
        if not is_run(str(above.folder)):
            if was_pruned or set(WORDS.values()) & set(at.result["model"]["trained"]):
                raise UserError("teacher: parent", f"'{about['id']}', before '{at.id}' in line, is gone. Name a run.")
            break
        if was_pruned:
            if above.model_hash() != about["hash"]:
                raise UserError("teacher: parent", f"'{about['id']}' was changed after '{at.id}' was pruned from it.")
            found = above
        at = above
    return found


def check_teachers(names: Sequence[str] | None, parents: dict[str, Run], data: Any) -> None:
    """Refuse teachers of other classes. Raises UserError."""
    from .data import same_classes

    for role, run in parents.items():
        if role.startswith("teacher"):
            same_classes(run, data)
    for name in published(names):
        network, file = _split(name)
        if file is not None:
            if not file.is_file() or file.suffix != ".safetensors":
                raise UserError(f"teacher: {name}", f"'{file}' is no .safetensors file. Write the path of one.")
            continue
        outputs = models.published_outputs(read_model(network).name)
        if outputs is None:
            problem = f"has no published weights. Write {network}:weights=FILE.safetensors, or the run that trained it."
            raise UserError(f"teacher: {name}", problem)
        if outputs != len(data.classes):
            raise UserError(
                f"teacher: {name}",
                f"its published weights answer {outputs} classes, and the data have {len(data.classes)}. Fine-tune it "
                f"first: strop train DATA --model {network} --pretrained true --id teacher; then --teacher "
                "runs/teacher.",
            )


def digest_published(names: Sequence[str] | None) -> list[Any]:
    """What a run's key holds of teachers that are no runs: names, and the contents of files."""
    split = [_split(name) for name in published(names)]
    return [[network, file_hash(file) if file and file.is_file() else None] for network, file in split]


def load_teacher(names: Sequence[str], run: Run, parents: dict[str, Run], data: Any) -> nn.Module:
    """The classifier that teaches, or the mean of several; writes into run.json what is no parent of the run."""
    from .. import artifact

    found, told = [], []
    for number, name in enumerate(names, 1):
        parent = parents.get("teacher" if number == 1 else f"teacher-{number}")
        found.append(artifact.load(parent) if parent else _build(name, data))
        told.append(f"{parent.id if parent else name} ({found[-1].preprocess.input_size} px)")
    others = digest_published(names)
    if others:
        record = run.record
        record["teachers"] = [{"name": network, "hash": content or "published"} for network, content in others]
        write_json(run.folder / "run.json", record)
    if len(found) == 1:
        log.info("  teacher %s", told[0])
        return found[0]
    from ..distill.ensemble import Ensemble

    log.info("  teachers, the mean of their probabilities: %s", ", ".join(told))
    return Ensemble(found)


def _build(name: str, data: Any) -> Classifier:
    """A published network at its own size, with the preprocessing that its weights want."""
    from ..models.classifier import Classifier, Preprocess
    from ..models.pretrained import load_file

    network, file = _split(name)
    part, classes = read_model(network), tuple(data.classes)
    wants = models.preprocessing(part.name, pretrained=True)
    if wants is None:
        raise UserError(
            f"teacher: {name}", "a file does not say how its pictures were prepared. Give the run that trained it."
        )
    size = models.default_input_size(part.name)
    options = {"num_classes": len(classes), "input_size": size, **part.options}
    try:
        net = models.build(part.name, pretrained=file is None, **options)
    except NotFetched as error:
        advice = f"Connect to the network, or write {network}:weights=FILE.safetensors."
        raise error.advising(f"teacher: {name}", advice) from None
    if file is not None and (fresh := load_file(net, file, len(classes))):
        raise UserError(
            f"teacher: {name}", f"'{fresh[0]}' in the file is for other classes than the {len(classes)} here."
        )
    log.info("  %s: its %d outputs are taken to be the data's classes in their order", name, len(classes))
    mean, std = tuple(wants["mean"]), tuple(wants["std"])
    return Classifier(net, Preprocess(size, 3, mean, std, data.alpha), classes)
