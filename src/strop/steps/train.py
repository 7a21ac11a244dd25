"""strop train: from pictures to a model, from scratch, from weights, from a run, or from a teacher."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, ValidationError, model_validator

from ..config import RunReference, problems
from ..errors import suggest
from ..models.choice import ModelField, written_model
from ..runs import Run
from .fields import NormalizeField, PhasesField, RateField, StagesField
from .options import DataField, TrainingOptions
from .step import log
from .teachers import Teachers

SAME_IN_ALL_PHASES = {
    "id", "out", "seed", "device", "data", "model", "pretrained", "normalize", "parent", "fresh", "teacher",
    "precision", "audit", "dropout", "drop_path", "virtual_ranks", "tensorboard", "crop_scale", "cache_gb",
    "save_minutes", "save_epochs", "keep", "timeout", "channels_last", "compile", "phases", "rotate",
}  # fmt: skip

NO_ESTIMATE = (
    "Every training picture was trained on: the part that was held out moved through all of them. So there is no "
    "validation estimate of this model; only test pictures can tell."
)


def _read_pretrained(value: Any) -> bool | str:
    """On a command line everything is text, "true" too."""
    value = {"true": True, "false": False}.get(value, value) if isinstance(value, str) else value
    if not isinstance(value, bool | str):
        raise ValueError(f"{value!r} is neither true, false nor the path of a .safetensors file.")
    return value


class Train(TrainingOptions):
    """Train a network on a folder or a named data set, optionally from a parent run or with a teacher.

    Example: strop train data/ --model resnet18 --epochs 30
    """

    verb: ClassVar[str] = "train"
    positional: ClassVar[tuple[str, ...]] = ("data",)
    references: ClassVar[tuple[str, ...]] = ("parent", "teacher")

    data: DataField = Field(
        description="folder with a folder for each class, table, wds:SHARDS, hf:NAME, or the name of a data set"
    )
    model: ModelField = Field(None, description="network by name, e.g. squeezenet:sr=0.25; see strop models")
    pretrained: Annotated[bool | str, BeforeValidator(_read_pretrained)] = Field(
        False, description="true for the library's weights, or a .safetensors file"
    )
    normalize: NormalizeField = Field(
        "auto", description="mean and sd the weights want: auto, imagenet, half, none, data, or 0.5/0.25"
    )
    parent: RunReference | None = Field(None, description="run to go on from (fine-tuning)")
    fresh: bool = Field(False, description="from the parent its widths and blocks only, with new weights: from scratch")
    teacher: Teachers = Field(
        None, description="run whose answers the student learns, or several: a,b; parent; or tv:NAME, timm:NAME"
    )
    lr: RateField = Field(None, description="peak learning rate, or parent*0.1 (default: 0.05 for sgd, else 0.001)")
    audit: Literal["off", "warn", "strict"] = Field(
        "warn", description="quick audit of the data first: off, warn, or strict (errors stop with exit code 4)"
    )
    freeze: StagesField = Field((), description="stages that don't train: stem,layer1 or stem..layer3 or all-but-head")
    phases: PhasesField = Field(
        (), description="one training after the other, by what trains: head:lr=0.1,epochs=5 layer4+head:lr=0.01 all"
    )

    rotate: int | None = Field(
        None, ge=2, le=1000, description="train in so many rounds, each with another part held out, so on all pictures"
    )

    @model_validator(mode="before")
    @classmethod
    def _fill_distill(cls, raw: Any) -> Any:
        """A teacher without a loss teaches by kd."""
        if isinstance(raw, dict) and raw.get("teacher") is not None and raw.get("distill") is None:
            return dict(raw, distill="kd")
        return raw

    @model_validator(mode="after")
    def _agree(self) -> Train:
        if (self.model is None) == (self.parent is None):
            raise ValueError("model: give either a model to start with or a parent run to go on from.")
        if self.distill and self.teacher is None:
            raise ValueError("distill: needs a teacher. Add --teacher RUN (in a recipe, teacher: ID).")
        if self.fresh and self.parent is None:
            raise ValueError("fresh: is about a parent, and there is none. Add --parent RUN, or leave it out.")
        if self.teacher is not None and not self.distill:
            raise ValueError("teacher: has no effect with distill none. Leave one out.")
        if self.parent is not None and self.pretrained:
            raise ValueError("pretrained: has no effect beside parent; the parent's weights are used. Leave one out.")
        if self.parent is not None and self.normalize != "auto":
            raise ValueError("normalize: has no effect beside parent; its weights want what they were trained with.")
        if self.parent is None and isinstance(self.lr, str):
            raise ValueError(f"lr: '{self.lr}' needs a parent. Add --parent RUN, or write a number such as 0.05.")
        if self.rotate and (self.phases or self.data.fold):
            other = "phases" if self.phases else "fold"
            raise ValueError(f"rotate: each of its rounds holds out a fold and trains alike. Leave {other} out.")
        return self

    @model_validator(mode="after")
    def _resolve_phases(self) -> Train:
        """Each phase with its values as they are used; what it does not say is the step's."""
        resolved = []
        for number, phase in enumerate(self.phases, 1):
            unknown = [name for name in phase if name not in Train.model_fields or name in SAME_IN_ALL_PHASES]
            if unknown:
                known = [name for name in Train.model_fields if name not in SAME_IN_ALL_PHASES]
                reason = "is the same in all phases" if unknown[0] in Train.model_fields else "unknown option"
                raise ValueError(f"phases: phase {number}, {unknown[0]}: {reason}. {suggest(unknown[0], known)}")
            try:
                settings = self._phase(phase).settings()
            except ValidationError as error:
                raise ValueError(f"phases: phase {number}, {' '.join(problems(error, Train))}") from None
            resolved.append({name: settings[name] for name in ("freeze", "epochs", "lr", *phase)})
        object.__setattr__(self, "phases", tuple(resolved))
        return self

    def _phase(self, phase: dict[str, Any], number: int = 1) -> Train:
        """The step that this phase is; the second draws with the seed after the first's, and so on."""
        own = {*phase, "phases", "rotate", *(["lr"] if "optimizer" in phase else [])}  # its default is the optimizer's
        step = {name: value for name, value in self.settings().items() if value is not None and name not in own}
        return type(self).model_validate(step | phase | {"seed": self.seed + number - 1})

    def pieces(self) -> list[Train]:
        """The trainings that follow each other: the phases, or the rounds with their folds, or the step itself."""
        data = self.data.model_dump(mode="json", exclude_none=True)
        rounds = [{"data": data | {"fold": f"{k}/{self.rotate}"}} for k in range(1, (self.rotate or 0) + 1)]
        return [self._phase(phase, number) for number, phase in enumerate(self.phases or rounds, 1)] or [self]

    def default_id(self, parents: dict[str, Run]) -> str:
        return f"{parents['parent'].id}-tuned" if "parent" in parents else self.model.name.replace(":", "-")

    def open_data(self, parents: dict[str, Run]) -> Any:
        from .auditing import audit_at_start

        data = self.data.model_copy(update={"validation": "0%"}) if self.rotate else self.data
        return audit_at_start(data.open(seed=self.seed), self.audit)

    def check(self, parents: dict[str, Run], data: Any) -> None:
        held_out = self.pieces()[0].data.open(seed=self.seed) if self.rotate else data
        super().check(parents, held_out)

    def run(self, run: Run, parents: dict[str, Run], data: Any) -> dict:
        from .. import artifact
        from .auditing import tell_audit
        from .constraining import describe_before, draw_change
        from .data import word_pictures
        from .objective import word_training
        from .phases import train_once, train_phases
        from .results import describe_model, describe_training, measure_best_and_last, note_weights
        from .sparsity import describe_sparsity
        from .start import open_pictures, resolve_rate, start_model
        from .teachers import load_teacher
        from .unfinished import note_model

        tell_audit(data)
        model, builder, precision, device = start_model(self, run, parents, data)
        note_model(run, model, builder)
        before = describe_before(model.net, self)
        train, val = open_pictures(self, run, data, model.preprocess)
        teacher = load_teacher(self.teacher, run, parents, data) if self.teacher else None
        log.info(
            "%s: %s, %s, %d px, %s on %s",
            run.id,
            written_model(self.model) if self.model else parents["parent"].id,
            "distilled" if teacher else "trained",
            model.preprocess.input_size,
            precision,
            device,
        )
        log.info("  %s", word_pictures(data))
        pieces = self.pieces()
        names = [f"lr of phase {number}" if self.phases else "lr" for number in range(1, len(pieces) + 1)]
        options = [resolve_rate(piece, run, parents, name) for piece, name in zip(pieces, names, strict=True)]
        parts = {"teacher": teacher, "device": device, "precision": precision}

        def pictures(piece: Train) -> dict[str, Any]:
            held_out = piece.data.open(seed=self.seed) if self.rotate else None
            chosen = open_pictures(self, run, held_out, model.preprocess) if held_out else (train, val)
            return dict(zip(("train", "val"), chosen, strict=True))

        if len(pieces) > 1 or self.phases:
            facts = train_phases(run, model, options, pictures, validated=val is not None, **parts)
        else:
            facts, _ = train_once(run, model, *options, train=train, val=val, **parts)
        artifact.save(run.folder, model, builder)
        note_weights(run, model)
        draw_change(run, before, model.net)
        words = [*parents["parent"].result["model"]["trained"], "fine-tuned"] if "parent" in parents else []
        words = ["from scratch"] if self.fresh else words
        for piece in pieces:
            words = word_training(piece, words, distilled=teacher is not None)
        name = written_model(self.model) if self.model else parents["parent"].result["model"]["name"]
        return {
            "model": describe_model(run, model, name, words),
            "measured": measure_best_and_last(run, model, val, data),
            "training": describe_training(facts, *options),
            **describe_sparsity(model.net, self),
            **({"note": NO_ESTIMATE} if self.rotate else {}),
        }
