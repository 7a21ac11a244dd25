"""Training in phases: each with its own options and a new optimizer, from the best weights of the one before."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from typing import Any

import torch

from ..errors import UserError
from ..launch import here
from ..models.classifier import Classifier
from ..models.freezing import freeze
from ..runs import Run, file_hash, read_json, write_json
from ..train.checkpoint import read_tensors, write_tensors
from .parts import written_optimizer
from .step import log
from .training import Best, Training

Facts = dict[str, Any]


class Phase(Run):
    """A phase of a run: its epochs go on counting, its lines carry its number, its checkpoints lie apart.

    Args:
        number: 1 for the first.
        before: epochs of the phases before.
    """

    def __init__(self, run: Run, number: int, before: int):
        super().__init__(run.folder)
        self.number, self.before = number, before

    @property
    def checkpoints(self):
        return super().checkpoints / f"phase-{self.number}"

    def naming(self, choice: str) -> str:
        return f"{choice} of phase {self.number}"

    def log(self, **line: Any) -> dict:
        return super().log(**{**line, "epoch": self.before + line["epoch"], "phase": self.number})

    def keep_metrics(self, epochs: int) -> None:
        super().keep_metrics(self.before + epochs)

    def close(self, best: dict[str, torch.Tensor], facts: Facts) -> None:
        """Keep the best weights and what is known of them; the checkpoints go when those are safe."""
        os.replace(self.checkpoints / "last.safetensors", self.checkpoints.parent / "last.safetensors")
        weights = self.checkpoints / "best.safetensors"
        write_tensors(weights, best)
        write_json(self.checkpoints / "best.json", {"facts": facts, "hash": file_hash(weights)})
        for path in self.checkpoints.glob("step-*"):
            path.unlink()

    def closed(self) -> Facts | None:
        """What is known of it once it was closed; None where it is still to be trained."""
        index, weights = self.checkpoints / "best.json", self.checkpoints / "best.safetensors"
        if not index.is_file():
            return None
        try:
            about = read_json(index)
            if file_hash(weights) == about["hash"]:
                return about["facts"]
        except (UserError, OSError, LookupError, TypeError):
            pass
        log.warning("%s: is damaged; phase %d is trained again", weights, self.number)
        return None

    def put_best_into(self, model: Classifier) -> None:
        """The kept weights; the first process reads them, all processes get them."""
        if not here().rank:
            model.net.load_state_dict(read_tensors(self.checkpoints / "best.safetensors"))
        here().share([*model.net.state_dict().values()])


def train_phases(
    run: Run, model: Classifier, phases: list[Any], pictures: Callable[[Any], dict], *, validated: bool, **parts: Any
) -> Facts:
    """Train phase after phase; returns the `training` block. The model then holds the best weights of all of them.

    A run that was stopped goes on in the phase it had come to.

    Args:
        phases: the options of each; one after the first has the seed of the one before plus one.
        pictures: gives the "train" and "val" pictures of a phase.
        validated: all phases are validated on the same pictures; otherwise the last one counts as the best.
        parts: what `Training` takes besides: teacher, device, precision.
    """
    for options in phases:  # a stage that is unknown in the last phase is better told before the first
        freeze(model.net, len(model.classes), options.freeze, "phases").thaw()
    run.checkpoints.mkdir(exist_ok=True)
    before, done = 0, []
    for number, options in enumerate(phases, 1):
        phase = Phase(run, number, before)
        facts = here().from_first(phase.closed)
        if facts is None:
            for later in range(number + 1, len(phases) + 1):  # of a phase that was damaged; their log goes with it
                shutil.rmtree(Phase(run, later, 0).checkpoints, ignore_errors=True)
            log.info("%s", _announce(number, len(phases), options))
            facts, best = train_once(phase, model, options, **pictures(options), **parts)
            told = {"phase": number, "lr": options.lr, "optimizer": written_optimizer(options.optimizer)}
            facts = {**told, **facts, "best_epoch": before + facts["best_epoch"]}
            facts |= {"best_accuracy": best.accuracy, "best_loss": best.loss}
            phase.close(model.net.state_dict(), facts)
        else:
            phase.put_best_into(model)
            log.info("phase %d of %d: done", number, len(phases))
        done.append(facts)
        before += facts["epochs"]
    return _put_together(run, model, done, validated=validated)


def _announce(number: int, of: int, options: Any) -> str:
    fold = f", fold {options.data.fold} held out" if options.data.fold else ""
    return f"phase {number} of {of}: {options.epochs} epochs, lr {options.lr:g}{fold}"


def train_once(run: Run, model: Classifier, options: Any, **parts: Any) -> tuple[Facts, Best]:
    """Freeze, train to the best epoch, and let everything train again."""
    frozen = freeze(model.net, len(model.classes), options.freeze)
    if frozen.stages:
        log.info("  %s of %s parameters train; frozen: %s", f"{frozen.trainable:,}", f"{frozen.total:,}", frozen.words)
    training = Training(run, model, options, **parts)
    facts = training.to_best()
    frozen.thaw()
    return facts | frozen.describe(), training.best


def _put_together(run: Run, model: Classifier, done: list[Facts], *, validated: bool) -> Facts:
    """One block for all phases; puts the weights of the best one into the model."""
    chosen = done[-1]
    if validated:
        chosen = max(reversed(done), key=lambda facts: (facts["best_accuracy"], -facts["best_loss"]))
    if chosen is not done[-1]:
        number = chosen["phase"]
        log.warning("  phase %d was better on validation than those behind it; its weights are kept", number)
        Phase(run, number, 0).put_best_into(model)
    same = {name: done[-1][name] for name in ("precision", "device")}
    return {
        "epochs": sum(facts["epochs"] for facts in done),
        "best_epoch": chosen["best_epoch"],
        "min_loss": min(facts["min_loss"] for facts in done),
        "final_loss": done[-1]["final_loss"],
        "seconds": round(sum(facts["seconds"] for facts in done), 2),
        **same,
        **({"stopped_early": True} if any(facts.get("stopped_early") for facts in done) else {}),
        "peak_memory_bytes": max(facts["peak_memory_bytes"] for facts in done),
        "frozen": chosen["frozen"],
        "trainable_parameters": chosen["trainable_parameters"],
        "phases": [_describe(facts, same, validated=validated) for facts in done],
    }


def _describe(facts: Facts, same: Facts, *, validated: bool) -> Facts:
    """What differs between phases; without validation there are no best figures."""
    left_out = {*same, *(() if validated else ("best_accuracy", "best_loss"))}
    return {name: value for name, value in facts.items() if name not in left_out}
