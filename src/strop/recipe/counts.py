"""What a network costs, read off a copy of it that has no memory: the figures that a plan reckons with."""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from .. import models
from ..measure import layers as rows
from ..measure.recording import record
from ..models.freezing import choose_stages
from ..models.stages import stage_of_tensors
from ..steps.anatomy import build_to_look_at


@dataclass(frozen=True)
class Network:
    """A network as it can be built: its name, the builder's options, and what it sees and says."""

    name: str
    options: tuple[tuple[str, Any], ...]
    classes: int
    channels: int
    side: int

    def build(self) -> nn.Module:
        about = {"num_classes": self.classes, "in_chans": self.channels, "input_size": self.side}
        return models.build(self.name, **about, **dict(self.options))


@dataclass(frozen=True)
class Counts:
    """Per picture but for `parameters` and `weights`.

    Attributes:
        parameters, trainable: numbers of them.
        macs, moved: multiply-accumulates, and bytes of activations read and written, of the forward pass.
        macs_back, moved_back: the share of them behind the first layer that trains: what the backward pass repeats.
        kept: bytes of activations that the backward pass needs.
        alive: most bytes of activations at a time, without one.
        weights: bytes of parameters and buffers.
        precision: what `auto` takes for it on the CPU.
    """

    parameters: int
    trainable: int
    macs: int
    moved: int
    macs_back: int
    moved_back: int
    kept: int
    alive: int
    weights: int
    precision: str

    def scaled(self, share: float) -> Counts:
        """The same with so many of everything, as after pruning; activations shrink with the root, as widths do."""
        figures = {name: round(value * share) for name, value in vars(self).items() if name != "precision"}
        root = share**0.5
        return replace(self, **figures | {name: round(getattr(self, name) * root) for name in ("kept", "alive")})


@functools.cache
def count(network: Network, frozen: tuple[str, ...] = (), device: str = "cpu") -> Counts:
    """Build without memory and count. Raises UserError where the network refuses its options, stages or size."""
    shape = (network.channels, network.side, network.side)
    net = build_to_look_at(network.build, network.name, shape, to_run=False)
    return count_net(net, shape, network.classes, frozen, device)


def count_net(
    net: nn.Module, shape: tuple[int, int, int], classes: int, frozen: tuple[str, ...] = (), device: str = "cpu"
) -> Counts:
    """The same of a network that is there.

    Args:
        shape: channels, height and width of a picture.
        frozen: words of --freeze.
    """
    from ..train.precision import resolve_precision

    recording = record(net, shape)
    places = stage_of_tensors(net, classes)
    still = choose_stages(frozen, dict.fromkeys(places.values()))
    done = recording.operations
    first = next((i for i, operation in enumerate(done) if _trains(operation.module, places, still)), 0)
    memory = rows.memory(net, recording, shape, 1)
    moved, moved_back = (sum(operation.read + operation.written for operation in part) for part in (done, done[first:]))
    sizes = {name: parameter.numel() for name, parameter in net.named_parameters()}
    return Counts(
        parameters=sum(sizes.values()),
        trainable=sum(size for name, size in sizes.items() if places[name] not in still),
        macs=sum(operation.macs for operation in done),
        moved=moved,
        macs_back=sum(operation.macs for operation in done[first:]),
        moved_back=moved_back,
        kept=round(memory["activations_kept_bytes"] * moved_back / max(moved, 1)),
        alive=memory["activations_alive_bytes"],
        weights=memory["weights_bytes"],
        precision=resolve_precision("auto", net, device),
    )


def _trains(layer: str, places: dict[str, str], still: list[str]) -> bool:
    """Whether the layer has a tensor of a stage that is not frozen."""
    return any(name.startswith(f"{layer}.") and stage not in still for name, stage in places.items())


def fitted(counts: Counts, *, batch: int, states: int) -> int:
    """Bytes that a training update needs at least: weights, gradients, optimizer states and kept activations."""
    return counts.weights + 4 * counts.trainable * (1 + states) + batch * max(counts.kept, counts.alive)


def device_of(wanted: str) -> str:
    """Where a plan's trainings would run: cpu or cuda."""
    has_gpu = torch.cuda.is_available() and wanted != "cpu"
    return "cuda" if has_gpu else "cpu"
