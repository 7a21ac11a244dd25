"""The best model so far of a training that is not finished, as a run of its own that says so."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from typing import Any

from .. import artifact, runs
from ..data.load import pictures
from ..errors import UserError
from ..models.classifier import Classifier
from ..runs import Run, read_json, write_json
from ..train import checkpoint
from ..train.checkpoint import Checkpoint
from .data import reopen
from .results import describe_model, measured
from .step import log


def note_model(run: Run, model: Classifier, builder: dict[str, Any]) -> None:
    """How to build around the tensors of the checkpoints to come."""
    run.checkpoints.mkdir(exist_ok=True)
    write_json(run.checkpoints / "model.json", artifact.describe(model, builder))


def best_so_far(folder: Path) -> Run:
    """Make `<folder>-epoch-<n>` of the best epoch that a checkpoint holds; the training may be going on meanwhile.

    Raises:
        UserError: there is no training, it is finished, or no epoch of it was measured and saved yet.
    """
    training = Run(folder)
    if not (folder / "run.json").is_file():
        raise UserError(str(folder), "is not a run folder (it has no run.json). Give a folder that strop made.")
    if training.record["status"] == "complete":
        raise UserError(str(folder), "is finished. Leave --unfinished out.")
    found = _newest(training)
    if found is None:
        raise UserError(str(folder), "no epoch is measured and saved yet. Wait for the first one.")
    epoch, best = found.facts["best"]["epoch"], checkpoint.under(found.tensors, "best.")
    content = hashlib.sha256(b"".join(tensor.cpu().contiguous().numpy().tobytes() for tensor in best.values()))
    key = runs.digest("unfinished", training.record["key"], content.hexdigest())
    out, state = runs.place(folder.with_name(f"{folder.name}-epoch-{epoch}"), key, exact=False)
    if state == "complete":
        return Run(out)
    done = len(found.facts["losses"])
    log.warning("%s is unfinished: this is the best of its first %d epochs, epoch %d", folder, done, epoch)
    about = read_json(training.folder / "checkpoints" / "model.json")
    net = artifact.rebuild(about["builder"], about["attributes"], best)
    model = Classifier(net, artifact.read_preprocess(about), tuple(about["classes"])).eval()
    record = training.record
    kept = {name: record[name] for name in ("verb", "seed", "command")}
    run = runs.create(out, id=out.name, key=key, parents={}, device="cpu", **kept)
    for name in ("data.json", "config.yaml"):
        shutil.copyfile(folder / name, out / name)
    artifact.save(out, model, about["builder"])
    data = reopen(run)
    val = None
    if len(data.splits["val"]):
        val = pictures(data, "val", size=model.preprocess.input_size, channels=model.preprocess.channels)
    result = {
        "model": describe_model(run, model, about["builder"]["name"], [f"unfinished (epoch {epoch})"]),
        "measured": [measured(run, model, val, data, split="val", runtime="torch")] if val is not None else [],
        "unfinished": {"run": folder.name, "epoch": epoch, "epochs": done},
    }
    return run.finish(result, 0.0)


def _newest(training: Run) -> Checkpoint | None:
    """With an epoch that was measured; of the latest phase, where there are phases."""
    folder = training.folder / "checkpoints"
    for place in [*sorted(folder.glob("phase-*"), reverse=True), folder]:
        found = checkpoint.newest(place, log.warning)
        if found is not None and checkpoint.under(found.tensors, "best."):
            return found
    return None
