"""strop info: what a network holds, computes, moves and sees, and where it is slow."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple

from pydantic import Field

from ..config import Command, RunReference
from ..errors import UserError
from ..runs import Run, check_new_file, check_new_folder, free_folder
from .step import require_model

CLASSES = 1000


class Subject(NamedTuple):
    """What is looked at."""

    name: str
    net: Any
    input_size: tuple[int, int, int]
    classes: int
    run: Run | None


class Info(Command):
    """Show what each layer of a network or a run holds, computes, moves and sees; draw, time and weigh it.

    Example: strop info resnet18 --input-size 64 --classes 10
    """

    verb: ClassVar[str] = "info"
    positional: ClassVar[tuple[str, ...]] = ("subject",)

    subject: str = Field(min_length=1, description="network by name, e.g. squeezenet:sr=0.25, or a run")
    input_size: int | None = Field(None, ge=1, le=4096, description="pixels a side (default: what it is meant for)")
    classes: int | None = Field(
        None, ge=1, le=1_000_000, description=f"outputs of a network by name (default: {CLASSES})"
    )
    channels: int | None = Field(None, ge=1, le=512, description="of the picture, for a network by name (default: 3)")
    convention: Literal["strop", "thop", "torchsummary", "torchinfo"] = Field(
        "strop", description="whose count: strop; thop (MACs); torchsummary, torchinfo (total size)"
    )
    batch_size: int = Field(1, ge=1, le=65_536, description="pictures at a time, for memory and for --measure")
    depth: int | None = Field(None, ge=1, le=64, description="names in a path before it is folded (default: blocks)")
    all: bool = Field(False, description="every layer, nothing folded")
    measure: bool = Field(False, description="time the layers on this device")
    rounds: int = Field(30, ge=3, le=10_000, description="timed passes of --measure")
    device: str = Field("cpu", pattern=r"^(auto|cpu|cuda(:\d+)?)$", description="for --measure: auto, cpu or cuda")
    bytes: bool = Field(False, description="what each layer of a pruned or quantized run takes in its file")
    weights: bool = Field(False, description="how the weights of a run are spread, and how its layers respond")
    against: RunReference | None = Field(None, description="for --weights: a second run, laid over the first")
    pictures: int = Field(256, ge=2, le=100_000, description="for --weights: validation pictures to respond to")
    out: str | None = Field(None, description="for --weights: new folder (default: runs/ID-weights)")
    diagram: str | None = Field(None, description="new SVG file: blocks, branches, shapes, shares of the parameters")

    def execute(self, *, root: Path | str = "runs") -> dict[str, Any]:
        """The findings as JSON values; with --weights and --diagram, files are written too.

        Raises:
            UserError: there is no such network or run, it refuses such a picture, or a place to write is taken.
        """
        self._check()
        if self.bytes:
            return self._stored()
        from .anatomy import describe

        subject = self._open()
        found = {
            "model": subject.name,
            "run": str(subject.run.folder) if subject.run else None,
            "input_size": list(subject.input_size),
            "classes": subject.classes,
            **describe(subject, self),
        }
        if self.weights:
            weighed = self._weigh(subject, Path(root))
            found |= weighed | {"files": found.get("files", []) + weighed["files"]}
        return found

    def _check(self) -> None:
        """Refuse before the work what can be known to fail."""
        if self.all and self.depth is not None:
            raise UserError("strop info", "--all and --depth contradict each other. Leave one out.")
        given = [name for name, field in type(self).model_fields.items() if getattr(self, name) != field.default]
        others = [f"--{name.replace('_', '-')}" for name in given if name not in ("subject", "bytes")]
        if self.bytes and others:
            raise UserError("--bytes", f"reads what the run wrote and has no use for {others[0]}. Leave one out.")
        if self.against is not None and not self.weights:
            raise UserError("--against", "belongs to --weights. Add it, or leave both out.")
        if self.against is not None:
            require_model(Run.open(self.against), "info --weights")
        if self.diagram is not None:
            if Path(self.diagram).suffix.lower() != ".svg":
                raise UserError(f"--diagram {self.diagram}", "is drawn as SVG. Write a name that ends in .svg.")
            check_new_file("diagram", Path(self.diagram))
        if self.out is not None:
            check_new_folder("out", Path(self.out))
        if self.weights and not self._is_run():
            raise UserError("--weights", f"'{self.subject}' is no run: its weights are drawn at random. Give a run.")

    def _stored(self) -> dict[str, Any]:
        """Sparsity, bits and bytes of each layer, as result.json has them."""
        from ..report.stored import stored_layers

        if not self._is_run():
            raise UserError("--bytes", f"'{self.subject}' is no run. Give one of prune or quantize.")
        run = Run.open(self.subject)
        layers, note = stored_layers(run.result)
        if not layers:
            raise UserError(
                "--bytes", f"'{run.id}' says nothing of the bytes of its layers. Give a run of prune or quantize."
            )
        model = run.result["model"]
        return {
            "model": model["name"],
            "run": str(run.folder),
            "classes": len(run.data["classes"]),
            **{name: model[name] for name in ("input_size", "parameters", "macs", "macs_convention")},
            "stored": layers,
            "notes": [note] if note else [],
        }

    def _open(self) -> Subject:
        return self._open_run(Run.open(self.subject)) if self._is_run() else self._build()

    def _is_run(self) -> bool:
        """A run folder wins over a network of its name; another folder does not."""
        from ..models import resolve

        folder = Path(self.subject)
        if not folder.is_dir() or (folder / "run.json").is_file():
            return folder.is_dir()
        try:
            return not resolve(self.subject)
        except UserError:
            return True  # neither; said as of a run

    def _open_run(self, run: Run) -> Subject:
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
        from ..models import build, default_input_size
        from ..models.choice import read_model, written_model

        if any(mark in self.subject for mark in "/\\"):
            raise UserError(self.subject, "there is no such folder. Give a run, or a network by name.")
        try:
            chosen = read_model(self.subject)
        except ValueError as error:
            raise UserError("model", str(error)) from None
        from .anatomy import build_to_look_at

        size, channels = self.input_size or default_input_size(chosen.name), self.channels or 3
        classes = self.classes or CLASSES
        net = build_to_look_at(
            lambda: build(chosen.name, num_classes=classes, in_chans=channels, input_size=size, **chosen.options),
            self.subject,
            (channels, size, size),
            to_run=self.measure,
        )
        return Subject(written_model(chosen), net, (channels, size, size), classes, None)

    def _weigh(self, subject: Subject, root: Path) -> dict[str, Any]:
        """Figures and charts of the weights, in a new folder."""
        from .weighing import weigh

        folder = Path(self.out) if self.out is not None else free_folder(root / f"{subject.run.id}-weights")
        other = None if self.against is None else Run.open(self.against)
        return weigh(subject.run, other, folder, pictures=self.pictures)
