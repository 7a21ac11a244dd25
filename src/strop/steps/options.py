"""The options of everything that trains, shared by train and prune."""

from __future__ import annotations

import os
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BeforeValidator, Field, PlainValidator, field_validator, model_validator

from ..augment import PRESETS
from ..config import Strict, part_of
from ..data.parts import Parts
from ..errors import UserError
from ..launch import processes
from ..quantize.constraints import constraints
from ..runs import Run, digest
from ..sparsify import regularisers
from ..train.losses import losses
from ..train.schedules import schedules
from ..train.weights import check_class_weights
from .parts import Augment, ClassWeights, Distill, Optimizer, name_of, split_distill
from .step import WAIT_SECONDS, Step, require_model
from .teachers import check_teachers, digest_published, open_teachers

DEFAULT_LR = {"sgd": 0.05, "others": 1e-3}
DEFAULT_WARMUP = 0.1


def _read_share(value: Any) -> str:
    from ..data.dataset import parse_fraction

    try:
        parse_fraction(value)
    except UserError as error:
        raise ValueError(" ".join(error.problems)) from None
    return str(value)


def _lower(value: Any) -> str:
    """YAML's true is a bool, that of a command line is text."""
    return str(value).lower()


class DataConfig(Strict):
    """Which pictures, how many are held out, and at what size the network sees them."""

    source: Annotated[str, BeforeValidator(str)] = Field(
        description="folder, table, wds:SHARDS, hf:NAME, or a set's name"
    )
    validation: Annotated[str, BeforeValidator(_read_share)] = Field(
        "5%", description="share of train held out to choose by; taken by content hash"
    )
    test: Annotated[str, BeforeValidator(_read_share)] = Field(
        "0%", description="share put aside as test pictures, where the set has none of its own"
    )
    fold: str | None = Field(None, description="cross-validation: 2/5 validates on the second of five parts")
    exclude: Annotated[str, AfterValidator(os.path.abspath)] | None = Field(
        None, description="list of pictures to leave out, as strop audit --fix writes it"
    )
    max_unreadable: Annotated[str, BeforeValidator(_read_share)] = Field(
        "1%", description="share of train that is left out where it can't be read; above it the run stops"
    )
    near_copies: Annotated[Literal["auto", "true", "false"], BeforeValidator(_lower)] = Field(
        "auto", description="keep re-encoded, resized and mirrored copies on one side: auto (to 100,000), true, false"
    )
    classes: list[str] | str | None = Field(
        None, description="only these: a text file with a name a line; in YAML a list too (default: all)"
    )
    input_size: int | None = Field(None, ge=8, le=1024, description="pixels a side (default: of the set, or the model)")
    alpha: Annotated[str, BeforeValidator(_read_colour)] = Field(
        "white", description="colour below transparent parts: white, black or '#ff8000'"
    )

    def open(self, *, seed: int) -> Any:
        """The data set, divided. Raises UserError."""
        from ..data.dataset import open_data

        options = self.model_dump(exclude={"source"})
        return open_data(self.source, seed=seed, **options)


def _read_colour(value: Any) -> str:
    from ..data.picture import parse_colour

    try:
        parse_colour(str(value))
    except UserError as error:
        raise ValueError(" ".join(error.problems)) from None
    return str(value)


def _read_data(value: Any) -> Any:
    return {"source": value} if isinstance(value, str) or hasattr(value, "__fspath__") else value


DataField = Annotated[DataConfig, BeforeValidator(_read_data)]


def _read_batch_size(value: Any) -> int | str | None:
    if value is None or value == "auto":
        return value
    try:
        number = int(str(value))
    except ValueError:
        raise ValueError(f"{value!r} is neither auto nor a whole number. Write for example 128.") from None
    if not 2 <= number <= 65_536:
        raise ValueError(f"{number} is out of range. Write 2 to 65536, or auto.")
    return number


def _read_switch(value: Any) -> Any:
    """YAML has true and false of its own."""
    return str(value).lower() if isinstance(value, bool) else value


class TrainingOptions(Step):
    """How to train; the defaults suit a small set on a CPU."""

    uses_device: ClassVar[bool] = True
    many_devices: ClassVar[bool] = True

    epochs: int = Field(12, ge=1, le=10_000, description="passes over the training pictures")
    batch_size: Annotated[int | str | None, PlainValidator(_read_batch_size)] = Field(
        None,
        description="pictures an update; auto: as many as fit into memory, at most 1024, found once "
        "(default: 128, of small sets fewer, down to 16, for 8 updates an epoch)",
    )
    accumulate: int = Field(
        1, ge=1, le=1024, description="compute each batch in so many chunks, one after the other, in less memory"
    )
    virtual_ranks: int | None = Field(
        None, description="shares of a batch, 2, 4, 8 ...: the same bits on as many processes, or fewer"
    )
    timeout: float = Field(
        WAIT_SECONDS, ge=10, le=86_400, description="seconds that processes under torchrun wait for each other"
    )
    optimizer: Optimizer = Field(
        "sgd", validate_default=True, description="sgd (Nesterov 0.9), adam, adamw, or timm:NAME; adamw:beta2=0.95"
    )
    lr: float | None = Field(None, gt=0, description="peak learning rate (default: 0.05 for sgd, else 0.001)")
    layer_decay: float | None = Field(
        None, gt=0, le=1, description="factor on the learning rate from each stage to the one before, e.g. 0.75"
    )
    schedule: part_of(schedules) = Field(
        "cosine", validate_default=True, description="cosine, constant, exponential, one-cycle, step:every=30"
    )
    warmup: float | None = Field(
        None, ge=0, lt=1, description="share of the training with rising learning rate (default: 0.1)"
    )
    warmup_epochs: float | None = Field(None, ge=0, description="the same in epochs, instead of warmup")
    weight_decay: float = Field(5e-4, ge=0, description="L2; not on biases and norms")
    clip: float | None = Field(None, gt=0, description="largest norm of the gradient, e.g. 1.0 (default: any)")
    dropout: float | None = Field(
        None,
        ge=0,
        lt=1,
        description="probability of dropping a feature, where the model can (default: the model's own)",
    )
    drop_path: float | None = Field(
        None,
        ge=0,
        lt=1,
        description="probability of skipping the last block (stochastic depth) (default: the model's own)",
    )
    ema: float | None = Field(
        None, gt=0, lt=1, description="moving average of the weights, e.g. 0.999; it is what is validated and kept"
    )
    sam: float | None = Field(None, gt=0, le=10, description="sharpness-aware minimisation, e.g. 0.05; costs double")
    loss: part_of(losses) = Field(
        "cross-entropy", validate_default=True, description="cross-entropy, bce, focal:gamma=2, ohem:share=0.9"
    )
    class_weights: ClassWeights = Field("none", description="none, balanced, effective, or a table: cat=2,dog=0.5")
    sampling: Literal["uniform", "balanced"] = Field(
        "uniform", description="uniform: each picture once an epoch; balanced: each class equally often"
    )
    augment: Augment = Field(
        "light", validate_default=True, description=f"{', '.join(PRESETS)}, or names joined by +: light+mixup:alpha=0.2"
    )
    distill: Distill = Field(
        (), description="loss on the teacher's answers or maps, or both: kd:temperature=2, hint, kd+attention"
    )
    cache_teacher: bool = Field(
        False, description="ask the teacher once and keep its answers on disk; with augment none"
    )
    sparsify: part_of(regularisers, optional=True) = Field(
        None, description=f"{', '.join(regularisers.names())}; with options l1:strength=1e-4"
    )
    constrain: part_of(constraints, optional=True) = Field(
        None, description="weights that quantize well: clip:sd=3, kurtosis:target=1.8"
    )
    crop_scale: float | None = Field(
        None, gt=0, le=1, description="random-resized crops of at least this share of a picture (0.08 for ImageNet)"
    )
    cache_gb: float = Field(20, ge=0, description="disk space for decoded pictures that do not fit into memory")
    precision: Literal["auto", "fp32", "bf16", "fp16"] = Field("auto", description="auto, fp32, bf16 or fp16")
    channels_last: Annotated[Literal["auto", "true", "false"], BeforeValidator(_read_switch)] = Field(
        "auto", description="layout of pictures in memory; auto: channels last where the network convolves"
    )
    compile: bool = Field(False, description="train through torch.compile; slow to start, and other last bits")
    patience: int | None = Field(None, ge=1, description="stop after so many epochs without a better validation")
    on_nan: Literal["stop", "rollback"] = Field(
        "stop", description="loss not finite: stop, or rollback an epoch and halve the learning rate, up to 3 times"
    )
    tensorboard: bool = Field(False, description="write TensorBoard events into the run's folder too")
    save_minutes: float = Field(3, ge=0, description="a checkpoint at least this often; 0: after every update")
    save_epochs: int = Field(
        1, ge=0, description="and after so many epochs, while that takes under 2 % of the time; 0: never"
    )
    keep: int = Field(2, ge=1, le=100, description="checkpoints that stay; a damaged one falls back on the one before")

    @field_validator("virtual_ranks")
    @classmethod
    def _power_of_two(cls, value: int | None) -> int | None:
        if value is not None and (value < 2 or value & (value - 1) or value > 1024):
            raise ValueError(
                f"{value} is not a power of two. Write 2, 4, 8 ... up to 1024, so that sums keep one order."
            )
        return value

    @model_validator(mode="before")
    @classmethod
    def _fill_rates(cls, raw: Any) -> Any:
        """The learning rate that belongs to the optimizer, and the warm-up, where none is given."""
        if not isinstance(raw, dict):
            return raw
        filled = dict(raw)
        if raw.get("lr") is None:
            filled["lr"] = DEFAULT_LR["sgd" if name_of(raw.get("optimizer", "sgd")) == "sgd" else "others"]
        if raw.get("warmup") is None and raw.get("warmup_epochs") is None:
            filled["warmup"] = DEFAULT_WARMUP
        return filled

    @model_validator(mode="after")
    def _average_fits(self) -> TrainingOptions:
        if self.ema is not None and self.sparsify is not None:
            raise ValueError("ema: an average of weights has none of the zeros that sparsify makes. Leave one out.")
        return self

    @model_validator(mode="after")
    def _answers_can_be_kept(self) -> TrainingOptions:
        if not self.cache_teacher:
            return self
        if not self.distill:
            raise ValueError("cache_teacher: there is no teacher. Add --teacher RUN, or leave it out.")
        if self.augment or self.crop_scale:
            way = "augment: none" if self.augment else "no crop_scale"
            raise ValueError(
                "cache_teacher: pictures look different in each epoch, so the teacher's answers to them do too. "
                f"Write {way}, or leave cache_teacher out."
            )
        if split_distill(self.distill)[1]:
            raise ValueError("cache_teacher: keeps answers, not maps. Leave it or the loss on maps out.")
        return self

    @model_validator(mode="after")
    def _maps_are_seen(self) -> TrainingOptions:
        if self.compile and split_distill(self.distill)[1]:
            raise ValueError("compile: hides the maps that a loss on maps looks at. Leave one out.")
        return self

    @model_validator(mode="after")
    def _warmup_fits(self) -> TrainingOptions:
        if self.warmup_epochs is not None and self.warmup is not None:
            raise ValueError("warmup_epochs: says in epochs what warmup says as a share. Leave one out.")
        if self.warmup_epochs is not None and self.epochs and self.warmup_epochs >= self.epochs:
            raise ValueError(
                f"warmup_epochs: {self.warmup_epochs:g} is not less than the {self.epochs} epochs of the training. "
                "Write less, or more epochs."
            )
        return self

    def open_parents(self) -> dict[str, Run]:
        parents = super(TrainingOptions, self.model_copy(update={"teacher": None})).open_parents()
        return parents | open_teachers(getattr(self, "teacher", None), parents)

    def key(self, parents: dict[str, Run], data: Any) -> str:
        found, named = super().key(parents, data), digest_published(getattr(self, "teacher", None))
        return digest(found, named) if named else found

    def check(self, parents: dict[str, Run], data: Any) -> None:
        if self.patience is not None and not len(data.splits["val"]):
            raise UserError(
                f"--patience {self.patience}",
                "needs validation pictures to stop by. Add --validation 5%, or leave it out.",
            )
        if isinstance(self.batch_size, int):
            Parts(self.virtual_ranks or processes(), self.accumulate).check(self.batch_size)
        for role, parent in parents.items():
            require_model(parent, role)
        check_class_weights(self.class_weights, data.classes)
        check_teachers(getattr(self, "teacher", None), parents, data)
