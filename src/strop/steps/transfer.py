"""What `train --parent` takes over: the network, for another input size or other classes too, and what it records."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from .. import artifact
from ..errors import UserError
from ..models.classifier import Classifier, Preprocess
from ..models.fresh import fresh_tensors
from ..models.pretrained import begin_head, head_names, head_places, load_tensors
from ..models.resizing import resize_positions
from ..runs import Run, read_json, write_json
from ..yaml import read_yaml
from .step import log


def start_from_parent(config: Any, run: Run, parent: Run, data: Any) -> tuple[Classifier, dict]:
    """The parent's classifier and builder, fitted to the data; writes into run.json what differs."""
    model = artifact.load(parent)
    description = read_json(parent.folder / "model.json")
    builder, before = description["builder"], model.preprocess
    size = config.data.input_size or before.input_size
    preprocess = Preprocess(size, before.channels, before.mean, before.std, data.alpha)
    has_other_classes = tuple(data.classes) != model.classes
    if has_other_classes or size != before.input_size:
        options = dict(builder["options"], input_size=size, num_classes=len(data.classes))
        builder = dict(builder, options=options)
        net = _fit_network(model.net, builder, description["attributes"], parent, new_head=has_other_classes)
        _try_out(net, preprocess, parent)
    else:
        net = model.net
    if config.fresh:
        net.load_state_dict(fresh_tensors(net.state_dict(), artifact.make(builder)))
        log.info("  the network of '%s' with new weights", parent.id)
    _record(run, parent, data, preprocess, before)
    return Classifier(net, preprocess, data.classes), builder


def _fit_network(source: nn.Module, builder: dict, attributes: dict, parent: Run, *, new_head: bool) -> nn.Module:
    """The builder's network with the weights of `source`; a head that can't be kept is fresh."""
    net = artifact.make(builder)
    classes = builder["options"]["num_classes"]
    tensors, wanted = source.state_dict(), net.state_dict()
    heads = [f"{name}.{leaf}" for name in head_names(net, classes) for leaf in ("weight", "bias")]
    heads = [name for name in heads if name in wanted]
    # A head that reads a map as a whole has other inputs at another size. (In a pruned network its width says nothing.)
    moved = not attributes and any(wanted[name].shape[1:] != tensors[name].shape[1:] for name in heads)
    if attributes:
        tensors = resize_positions(tensors, net)
        if new_head:  # at full width, then cut
            begin_head(net, classes)
            tensors |= {name: _cut_like(wanted[name], tensors[name]) for name in heads}
        net = artifact.rebuild(builder, attributes, tensors)
    else:
        advice = "Give the input size and classes of the parent, or begin from --model."
        load_tensors(net, tensors, classes, str(parent.folder), new_head=new_head or moved, advice=advice)
    if new_head or moved:
        log.info("  new head %s, the rest from '%s'", ", ".join(head_places(net, classes)), parent.id)
    return net


def _cut_like(fresh: torch.Tensor, parents: torch.Tensor) -> torch.Tensor:
    """The rows of a fresh head over as many inputs as the parent's head has."""
    return fresh[:, : parents.shape[1]].clone() if fresh.ndim > 1 else fresh


@torch.inference_mode()
def _try_out(net: nn.Module, preprocess: Preprocess, parent: Run) -> None:
    """Whether it takes a picture of its size at all. Raises UserError."""
    try:
        net.eval()(torch.zeros(2, *preprocess.shape))
    except (RuntimeError, ValueError, AssertionError) as error:
        reason = str(error).split("\n")[0]
        raise UserError(
            str(parent.folder),
            f"this network can't take pictures of {preprocess.input_size} pixels ({reason}). Leave --input-size out.",
        ) from None


def _record(run: Run, parent: Run, data: Any, after: Preprocess, before: Preprocess) -> None:
    """`transfer` in run.json: what the parent had seen and this run does not see, and the other way round."""
    about, transfer = parent.data, {}
    if about["fingerprint"] != data.fingerprint:
        transfer["data"] = {"before": {"source": about["source"], "fingerprint": about["fingerprint"]}}
        transfer["data"]["now"] = {"source": data.source.name, "fingerprint": data.fingerprint}
    if about["classes"] != list(data.classes):
        transfer["classes"] = {"before": len(about["classes"]), "now": len(data.classes)}
        transfer["classes"]["kept"] = len(set(about["classes"]) & set(data.classes))
    if before.input_size != after.input_size:
        transfer["input_size"] = {"before": before.input_size, "now": after.input_size}
    seen = count_seen(about, data.fingerprint, data.names("val"))
    if seen:
        transfer["validation_seen"] = seen
        of = len(data.splits["val"])
        log.warning("  %d of %d validation pictures were training pictures of '%s':", seen, of, parent.id)
        log.warning("  validation will look too good. Keep its --validation, --fold and --seed.")
    if transfer:
        record = run.record
        record["transfer"] = transfer
        write_json(run.folder / "run.json", record)
        log.info("  transfer from '%s': %s", parent.id, _word(transfer))


def count_seen(before: dict, fingerprint: str, validation: Iterable[str]) -> int:
    """How many of these validation pictures a run trained on whose data.json is `before`; 0 for other data."""
    if before["fingerprint"] != fingerprint:
        return 0
    held_out = {*before["validation"]["names"], *before["test"].get("names", [])}
    return sum(name not in held_out for name in validation)


def _word(transfer: dict) -> str:
    words = {
        "data": lambda change: f"{change['now']['source']} after {change['before']['source']}",
        "classes": lambda change: f"{change['now']} classes after {change['before']}",
        "input_size": lambda change: f"{change['now']} px after {change['before']}",
        "validation_seen": lambda count: f"{count} validation pictures seen before",
    }
    return ", ".join(words[name](change) for name, change in transfer.items())


def rate_of(parent: Run) -> float:
    """The peak learning rate that a run was configured with, in its last phase. Raises UserError where it has none."""
    [(_, settings)] = read_yaml(Path(parent.folder) / "config.yaml")["steps"][0].items()
    name, phases = "lr", settings.get("phases")
    if phases:
        name, settings = f"lr of phase {len(phases)}", phases[-1]
    rate = parent.record.get("resolved", {}).get(name, settings.get("lr"))
    if not isinstance(rate, int | float):
        raise UserError("lr", f"'{parent.id}' says no learning rate in its config.yaml. Write a number.")
    return float(rate)
