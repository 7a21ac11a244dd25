"""The last epoch of a finished training as a run of its own, beside the best one that the training's folder holds."""

from __future__ import annotations

import shutil

from .. import artifact, runs
from ..data.load import pictures
from ..errors import UserError
from ..runs import Run, file_hash, read_json
from ..train.checkpoint import read_tensors
from .data import reopen
from .results import describe_model, measured


def last_epoch(training: Run) -> Run:
    """Make `<folder>-last`, a model folder with the weights of the training's last epoch; the same one is found again.

    Raises:
        UserError: nothing was trained there, or its last weights are gone.
    """
    path = training.folder / "checkpoints" / "last.safetensors"
    if not path.is_file():
        raise UserError(str(training.folder), "has no checkpoints/last.safetensors. Leave --checkpoint last out.")
    key = runs.digest("last", training.record["key"], file_hash(path))
    out, state = runs.place(training.folder.with_name(f"{training.folder.name}-last"), key, exact=False)
    if state == "complete":
        return Run(out)
    model = artifact.load(training)
    model.net.load_state_dict(read_tensors(path))
    kept = {name: training.record[name] for name in ("verb", "seed", "command")}
    run = runs.create(out, id=out.name, key=key, parents={}, device="cpu", **kept)
    for name in ("data.json", "config.yaml"):
        shutil.copyfile(training.folder / name, out / name)
    artifact.save(out, model, read_json(training.folder / "model.json")["builder"])
    data, before = reopen(run), training.result
    scores = []
    if len(data.splits["val"]):
        val = pictures(data, "val", size=model.preprocess.input_size, channels=model.preprocess.channels)
        scores = [measured(run, model.eval(), val, data, split="val", runtime="torch", checkpoint="last")]
    about = describe_model(run, model, before["model"]["name"], [*before["model"]["trained"], "last epoch"])
    more = {name: before[name] for name in ("training", "pruning") if name in before}
    return run.finish({"model": about, "measured": scores, **more}, 0.0)
