"""strop info: what a network holds, computes, moves and sees, and where it is slow."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple

from pydantic import Field

from ..config import Strict
from ..errors import UserError
from ..runs import Run

log = logging.getLogger("strop")
CLASSES = 1000


class Subject(NamedTuple):
    """What is looked at."""

    name: str
    net: Any
    input_size: tuple[int, int, int]
    classes: int
    run: Run | None


class Info(Strict):
    """Show what each layer of a network or a run holds, computes, moves and sees; time it.

    Example: strop info resnet18 --input-size 64 --classes 10
    """

    verb: ClassVar[str] = "info"
    positional: ClassVar[tuple[str, ...]] = ("subject",)

    subject: str = Field(min_length=1, description="network by name, or a run of train or prune")
    input_size: int | None = Field(None, ge=1, le=4096, description="pixels a side (default: what it is meant for)")
    classes: int | None = Field(
        None, ge=1, le=1_000_000, description=f"outputs of a network by name (default: {CLASSES})"
    )
    channels: Literal[1, 3] | None = Field(
        None, description="of the picture, 1 or 3, for a network by name (default: 3)"
    )
    convention: Literal["strop", "thop", "torchsummary", "torchinfo"] = Field(
        "strop", description="whose count: strop; thop (MACs); torchsummary, torchinfo (total size)"
    )
    batch_size: int = Field(1, ge=1, le=65_536, description="pictures at a time, for memory and for --measure")
    depth: int | None = Field(None, ge=1, le=64, description="names in a path before it is folded (default: blocks)")
    all: bool = Field(False, description="every layer, nothing folded")
    measure: bool = Field(False, description="time the layers on this device")
    rounds: int = Field(30, ge=3, le=10_000, description="timed passes of --measure")
    device: str = Field("cpu", pattern=r"^(auto|cpu|cuda(:\d+)?)$", description="for --measure: auto, cpu or cuda")

    def execute(self, *, root: Path | str = "runs") -> dict[str, Any]:
        """The findings as JSON values.

        Raises:
            UserError: there is no such network or run, or it refuses such a picture.
        """
        self._check()
        subject = self._open()
        found = {
            "model": subject.name,
            "run": str(subject.run.folder) if subject.run else None,
            "input_size": list(subject.input_size),
            "classes": subject.classes,
        }
        return found | self._structure(subject)

    def _check(self) -> None:
        """Refuse before the work what can be known to fail."""
        if self.all and self.depth is not None:
            raise UserError("strop info", "--all and --depth contradict each other. Leave one out.")

    def _open(self) -> Subject:
        return self._open_run(Run.open(self.subject)) if Path(self.subject).is_dir() else self._build()

    def _open_run(self, run: Run) -> Subject:
        from .step import require_model

        given = [name for name in ("classes", "channels") if getattr(self, name) is not None]
        if given:
            raise UserError(f"--{given[0]}", f"'{run.id}' is a run and has its own. Leave the option out.")
        require_model(run, "info")
        from .. import artifact

        model = artifact.load(run)
        shape = model.preprocess.shape
        size = (shape[0], self.input_size, self.input_size) if self.input_size else shape
        return Subject(run.result["model"]["name"], model.net, size, len(model.classes), run)

    def _build(self) -> Subject:
        from ..models import default_input_size, resolve

        if any(mark in self.subject for mark in "/\\"):
            raise UserError(self.subject, "there is no such folder. Give a run, or a network by name.")
        resolve(self.subject)  # says which names are near, without torch
        import torch

        from ..models import build

        size, channels = self.input_size or default_input_size(self.subject), self.channels or 3
        classes = self.classes or CLASSES
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            net = build(self.subject, num_classes=classes, in_chans=channels, input_size=size)
        return Subject(self.subject, net, (channels, size, size), classes, None)

    def _structure(self, subject: Subject) -> dict[str, Any]:
        """Layers, totals, memory, freeze groups, guidelines."""
        from ..measure import layers as rows
        from ..measure.complexity import MACS_CONVENTION
        from ..measure.conventions import THOP, thop_macs, total_size
        from ..measure.guidelines import guidelines
        from ..measure.recording import record
        from ..models.stages import count_stages

        net, size = subject.net, subject.input_size
        try:
            recording = record(net, size)
        except (RuntimeError, ValueError, AssertionError, IndexError) as error:
            said = str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
            about = "x".join(map(str, size))
            raise UserError("--input-size", f"{subject.name} refuses a picture of {about}: {said}") from error
        leaves = rows.layers_of(net, recording)
        if self.convention == "thop":
            counted = thop_macs(net, recording)
            leaves = rows.recount(leaves, counted)
        names = [] if self.all else rows.blocks(net) if self.depth is None else rows.at_depth(net, self.depth)
        shown = rows.fold(leaves, recording, net, names)
        inside = set(rows.blocks(net))
        return {
            "parameters": sum(layer.parameters for layer in leaves),
            "macs": sum(layer.macs for layer in leaves),
            "macs_convention": THOP if self.convention == "thop" else MACS_CONVENTION,
            "memory_access_bytes": sum(layer.memory_access_bytes for layer in leaves),
            "memory_access_convention": rows.MEMORY_ACCESS,
            "activation_bytes": sum(layer.activation_bytes for layer in leaves),
            "memory": rows.memory(net, recording, size, self.batch_size),
            **(
                {"total_size": total_size(self.convention, net, recording, size, self.batch_size)}
                if self.convention in ("torchsummary", "torchinfo")
                else {}
            ),
            "stages": count_stages(net, subject.classes),
            **self._timed(subject, leaves, shown, names),
            "guidelines": guidelines(recording, lambda path: rows.outermost(path, inside)),
        }

    def _timed(self, subject: Subject, leaves: list, shown: list, names: list[str]) -> dict[str, Any]:
        """The rows, with the time that each took where that was asked for."""
        lines = [layer.describe() for layer in shown]
        if not self.measure:
            return {"layers": lines}
        import torch

        from ..measure.layers import outermost
        from ..measure.timing import against_clock, time_layers
        from ..train.precision import resolve_device

        device = resolve_device(self.device)
        milliseconds = time_layers(
            subject.net, subject.input_size, device=str(device), batch=self.batch_size, rounds=self.rounds
        )
        spent: dict[str, float] = dict.fromkeys((line["name"] for line in lines), 0.0)
        for name in (layer.name for layer in leaves):
            spent[outermost(name, set(names))] += milliseconds.get(name, 0.0)
        total = sum(spent.values())
        for line in lines:
            line |= {"time_ms": round(spent[line["name"]], 5), "time_share": round(spent[line["name"]] / total, 6)}
        about = {"device": str(device), "batch_size": self.batch_size, "rounds": self.rounds}
        about |= {"threads": torch.get_num_threads(), "total_ms": round(total, 4)}
        return {
            "layers": lines,
            "measured": about | {"rank_correlation": against_clock(leaves, milliseconds)},
        }
