"""The two trainings that a pruned network has to be held against: its shape from scratch, and its parent for longer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..launch import rank
from ..runs import Run, link, write_json
from ..yaml import read_yaml
from .options import TrainingOptions
from .step import Step, log
from .train import Train

if TYPE_CHECKING:
    import numpy as np

    from .prune import Prune

OPPOSITE = {"better": "worse", "worse": "better"}
SHORT = 70  # letters of a run's id that its controls keep


class Control(Train):
    """A training on the very pictures of its parent, divided in the same way."""

    def open_data(self, parents: dict[str, Run]) -> Any:
        from .data import reopen

        has_place = parents["parent"].data["location"] is not None
        return reopen(parents["parent"], moved_to=self.data.source if has_place else None)


def train_controls(options: Prune, run: Run) -> None:
    """Train both controls in `controls/` of a finished run, and write into its result.json how they compare.

    scratch: the pruned network with new weights, for all epochs that the pruned one had: those of its parent, of its
    parent's parents, and of its own fine-tuning. longer: the parent as it was, for the epochs of the fine-tuning.
    Both have the options of the pruning step, teacher included, and one schedule from the first to the last epoch.
    """
    fine_tuning = run.result["training"]["epochs"]
    before, notes = epochs_before(Run.open(options.parent))
    made = {}
    for role, settings in {
        "scratch": {"parent": str(run.folder), "fresh": True, "epochs": before + fine_tuning},
        "longer": {"parent": options.parent, "epochs": fine_tuning},
    }.items():
        step = Control.model_validate(_shared(options, run) | settings | {"id": f"{run.id[:SHORT]}-{role}"})
        log.info("control: %s, %s", step.id, _epochs(step.epochs))
        made[role] = step.execute(root=run.folder / "controls")
    if rank() == 0:
        _write(run, made, notes)
        options.present(run)


def epochs_before(run: Run) -> tuple[int, list[str]]:
    """How many epochs the weights of a run were trained for, along its line of parents; and what is not counted."""
    total = 0
    while True:
        total += run.result["training"]["epochs"]
        [settings] = read_yaml(run.folder / "config.yaml")["steps"][0].values()
        about = run.record["parents"].get("parent")
        if settings.get("fresh") or about is None:
            began = [f"'{run.id}' began from published weights; the epochs in them are not counted."]
            return total, began if settings.get("pretrained") else []
        above = Run(run.folder / about["path"])
        if not (above.folder / "result.json").is_file():
            return total, [f"'{about['id']}', from which '{run.id}' was made, is gone; its epochs are not counted."]
        run = above


def _shared(options: Prune, run: Run) -> dict[str, Any]:
    """What both controls have in common with the pruning step."""
    about = run.data
    data = {"source": about["location"] or about["source"], "alpha": about["alpha"]}
    data |= {name: about["validation"][name] for name in ("fold", "classes") if about["validation"].get(name)}
    data["validation"] = f"{100 * about['validation']['share']:g}%"
    left_out = {"id", "out", "parent", "epochs", "data"}
    names = (TrainingOptions.model_fields.keys() | Step.model_fields.keys()) - left_out
    shared = {name: value for name, value in options.settings().items() if name in names and value is not None}
    if options.distill:
        shared["teacher"] = options.settings()["teacher"] or options.parent
    return shared | {"data": data, "audit": "off"}


def _write(run: Run, made: dict[str, Run], notes: list[str]) -> None:
    from ..measure.paired import METHOD, against

    result = run.result
    known = result["pruning"].get("controls", {})
    if all(known.get(role, {}).get("hash") == control.model_hash() for role, control in made.items()):
        _say(known)
        return
    right = {role: _right(run, control) for role, control in ({"pruned": run} | made).items()}
    pruned = right.pop("pruned")
    found = against(pruned, right)
    block: dict[str, Any] = {"split": "val", "n": len(pruned), "accuracy": float(pruned.mean()), "method": METHOD}
    for role, control in made.items():
        verdict = found[role]  # of the control against the pruned network; it is told the other way round
        block[role] = link(control, run.folder) | {
            "epochs": control.result["training"]["epochs"],
            "accuracy": float(right[role].mean()),
            "difference": -verdict.difference,
            "interval": [-verdict.high, -verdict.low],
            "gained": verdict.lost,
            "lost": verdict.gained,
            "p": verdict.adjusted,
            "verdict": OPPOSITE.get(verdict.verdict, verdict.verdict),
        }
    result["pruning"]["controls"] = block | ({"notes": notes} if notes else {})
    write_json(run.folder / "result.json", result)
    _say(result["pruning"]["controls"])


def _right(run: Run, control: Run) -> np.ndarray:
    """Whether each validation picture of `run` is answered rightly, (N,) bool."""
    import numpy as np

    from ..measure.evaluate import evaluate
    from .computing import evaluation_loader
    from .data import reopen
    from .subjects import open_split, open_subject

    subject, data = open_subject(control), reopen(run)
    val = open_split(data, "val", subject.preprocess)
    right = np.zeros(len(val), bool)

    def record(indices: Any, predicted: Any, _: Any) -> None:
        right[indices.numpy()] = (predicted == val.labels[indices]).numpy()

    evaluate(subject, evaluation_loader(val), subject.classes, record=record)
    return right


def _say(block: dict) -> None:
    log.info(
        "controls, %d validation pictures; the pruned network is right on %.2f %%", block["n"], 100 * block["accuracy"]
    )
    for role, words in (("scratch", "from scratch"), ("longer", "the parent for longer")):
        control = block[role]
        low, high = (100 * bound for bound in control["interval"])
        told = f"{100 * control['difference']:+.2f} points [{low:+.2f}, {high:+.2f}]"
        log.info("  %s, %s: %.2f %%", words, _epochs(control["epochs"]), 100 * control["accuracy"])
        log.info("    the pruned network: %s, %s", told, control["verdict"])
    for note in block.get("notes", ()):
        log.info("  %s", note)


def _epochs(count: int) -> str:
    return f"{count} epoch{'s' * (count > 1)}"
