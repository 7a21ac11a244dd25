"""What a recipe would do: each step, what it starts from, whether it is done, what it costs. Nothing is trained."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import StropError, UserError
from ..runs import Run, read_json
from ..steps.controls import epochs_before
from ..steps.train import Train
from .costs import Known, bench_seconds, control_cost, cost, epochs_of, precision_of, trains
from .seen import look_ahead, seen_by, share_out

if TYPE_CHECKING:
    from . import Recipe
    from .counts import Network


@dataclass
class Planned:
    """One step of the plan; a figure that can't be known before is None, and `why` says what is in the way.

    `controls` are the seconds of the trainings that the step is held against; `seconds` has them in it.
    """

    id: str
    verb: str
    state: str = ""
    parents: list[str] = field(default_factory=list)
    parameters: int | None = None
    trainable: int | None = None
    macs: int | None = None
    at_most: bool = False
    seconds: float | None = None
    controls: float | None = None
    bytes: int | None = None
    why: str | None = None

    def describe(self) -> dict[str, Any]:
        """As JSON values."""
        return dataclasses.asdict(self)


def make_plan(recipe: Recipe, root: Path) -> dict[str, Any]:
    """The plan as JSON values: `steps` (see `Planned`), `seconds` of what is not done, `profile`, `notes`.

    Example:
        >>> make_plan(Recipe.load("recipes/cifar100-seven.yaml"), Path("runs"))["steps"][0]["parameters"]
        219044
    """
    made: dict[str, Path] = {}
    known: dict[str, Known] = {}
    rows = []
    for step in recipe.steps:
        row = Planned(step.id or step.verb, step.verb)
        row.state = _state(step, root, made)
        row.parents = _parents(step)
        try:
            known[row.id] = _reckon(step, row, known)
        except StropError as error:
            row.why = str(error)
        rows.append((step, row))
    profile = _price(rows, known)
    return {
        "recipe": recipe.name,
        "root": str(root),
        "steps": [row.describe() for _, row in rows],
        "seconds": _total([row for _, row in rows if row.state != "done"]),
        "profile": profile,
        "notes": _notes([row for _, row in rows], known, profile),
    }


def _parents(step: Any) -> list[str]:
    """What the step takes, as the recipe names it."""
    found = []
    for role in step.references:
        names = getattr(step, role) or []
        found += names if isinstance(names, list) else [names]
    return [Path(name).name if (Path(name) / "run.json").is_file() else name for name in dict.fromkeys(found)]


def _state(step: Any, root: Path, made: dict[str, Path]) -> str:
    """done, begun or nothing. The data are opened only where a folder of that name is there to be compared."""
    from . import link

    linked = link(step, made)
    try:
        parents = linked.open_parents()
        folder = Path(step.out) if step.out else root / (step.id or step.default_id(parents))
        if not folder.is_dir():
            return ""
        folder, state = linked._place(root, parents, linked.open_data(parents))
    except StropError:
        return ""
    if state == "complete" and step.id:
        made[step.id] = Path(folder)
    return {"complete": "done", "unfinished": "begun"}.get(state, "")


def _reckon(step: Any, row: Planned, known: dict[str, Known]) -> Known:
    """What the step's model will be, written into the row too."""
    if row.verb == "bench":
        raise UserError("bench", "holds no model.")
    parent = getattr(step, "parent", None)
    before = (known.get(parent) or _from_run(parent)) if parent else None
    if isinstance(step, Train):
        after = _trained(step, before)
    else:
        after = _pruned(step, before) if row.verb == "prune" else before
    if trains(step):
        earlier = before.epochs if before and not getattr(step, "fresh", False) else 0
        after = dataclasses.replace(after, epochs=earlier + epochs_of(step), parent=before and before.counts)
    row.parameters, row.macs, row.at_most = after.counts.parameters, after.counts.macs, after.at_most
    row.trainable = after.counts.trainable if trains(step) else None
    return after


def _trained(step: Any, before: Known | None) -> Known:
    from ..models import default_input_size
    from .counts import Network, count, device_of

    seen = look_ahead(step.data)
    parts = getattr(step, "folds", None) or step.rotate
    seen = share_out(seen, parts) if parts else seen
    if before is None:
        options = tuple(sorted(step.model.options.items()))
        side = seen.side or default_input_size(step.model.name)
        network = Network(step.model.name, options, seen.classes, 3 if step.pretrained else seen.channels, side)
    elif before.network is None:
        return dataclasses.replace(before, seen=seen)
    else:
        side = step.data.input_size or before.network.side
        network = dataclasses.replace(before.network, classes=seen.classes, side=side)
    frozen = () if step.phases else tuple(step.freeze)
    return Known(seen, count(network, frozen, device_of(step.device)), network)


def _pruned(step: Any, before: Known) -> Known:
    whole = before.counts
    if step.method == "unstructured":
        return before  # zeros are parameters too
    if step.params is not None:
        share = min(1.0, step.params.limit(whole.parameters) / whole.parameters)
    elif step.macs is not None:
        share = min(1.0, step.macs.limit(whole.macs) / whole.macs)
    elif step.bytes is not None:
        share = min(1.0, step.bytes.limit(whole.weights) / whole.weights)
    else:
        raise UserError(step.id or "prune", "what remains under this budget is known only when it was pruned.")
    counts = whole.scaled(share)
    return Known(before.seen, dataclasses.replace(counts, trainable=counts.parameters), at_most=True)


def _from_run(folder: str) -> Known:
    """A run that was there before the recipe."""
    from .. import artifact
    from .counts import count_net

    run = Run.open(folder)
    about = read_json(run.folder / "model.json")
    model = artifact.load(run)
    builder, shape = about["builder"], model.preprocess.shape
    network = None if about["attributes"] else _network(builder, shape)
    counts, (epochs, _) = count_net(model.net, shape, len(model.classes)), epochs_before(run)
    return Known(seen_by(run), counts, network, epochs=epochs)


def _network(builder: dict, shape: tuple[int, int, int]) -> Network:
    from .counts import Network

    own = ("num_classes", "in_chans", "input_size")
    options = tuple(sorted((name, value) for name, value in builder["options"].items() if name not in own))
    return Network(builder["name"], options, builder["options"]["num_classes"], shape[0], shape[1])


def _price(rows: list[tuple[Any, Planned]], known: dict[str, Known]) -> dict[str, Any] | None:
    """Seconds and bytes of each step, by the rates of this machine; the profile that they come from."""
    from .counts import device_of
    from .profile import known_profile

    precisions = {precision_of(step, known[row.id]) for step, row in rows if row.id in known}
    if not precisions:
        return None
    devices = {device_of(step.device) for step, _ in rows}
    profile = known_profile("cuda" if "cuda" in devices else "cpu", precisions | {"fp32"})
    for step, row in rows:
        rates = profile["rates"]
        if row.id in known:
            row.seconds, row.bytes = cost(step, known[row.id], known, rates)
            if getattr(step, "controls", False):
                row.controls, need = control_cost(step, known[row.id], known, rates)
                row.seconds, row.bytes = row.seconds + row.controls, max(row.bytes, need)
        elif row.verb == "bench":
            row.seconds = sum(
                bench_seconds(known[name].counts, step.rounds, rates) for name in row.parents if name in known
            )
    return profile


def _total(rows: list[Planned]) -> float:
    return sum(row.seconds or 0.0 for row in rows)


def _notes(rows: list[Planned], known: dict[str, Known], profile: dict[str, Any] | None) -> list[str]:
    found = []
    if any(about.seen.published for about in known.values()):
        found.append("Classes and pictures of named sets are counted as published; no picture was opened.")
    if profile is not None:
        off = max(rate["off"] for rate in profile["rates"].values())
        origin = "measured just now" if profile["measured"] else "measured before and remembered"
        found.append(
            "Time is what forward, backward and optimizer compute and move, at this machine's rates "
            f"({profile['key']}), {origin} on three small networks, where the estimate misses by up to "
            f"{100 * off:.0f} %. Other networks may take half or twice as long. Reading pictures is left out."
        )
        found.append(
            "Memory is weights, gradients, optimizer states, activations in float32 and 0.4 GB for Python and torch; "
            "the pictures come on top."
        )
    controlled = [row.id for row in rows if row.controls]
    if controlled:
        seconds = sum(row.controls for row in rows if row.controls)
        found.append(f"Controls ({', '.join(controlled)}) are {100 * seconds / _total(rows):.0f} % of the time.")
    if any(row.at_most for row in rows):
        found.append("<: a budget; what is pruned has at most so much.")
    found += [f"{row.id} is not reckoned: {row.why}" for row in rows if row.why and row.verb != "bench"]
    return found
