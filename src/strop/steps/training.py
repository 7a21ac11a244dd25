"""Train a classifier to its best epoch: the caller's side of `train.fit`."""

from __future__ import annotations

import resource
import time
from contextlib import nullcontext
from dataclasses import dataclass

import torch

from ..augment import compose
from ..data.load import Loader, Pictures
from ..errors import Interrupted
from ..measure.evaluate import evaluate
from ..measure.metrics import running
from ..models.classifier import Classifier
from ..runs import Run
from ..sparsify import regularisers
from ..sparsify.l1 import zero_share
from ..train import checkpoint
from ..train.fit import Progress, fit
from ..train.optim import make_optimizer, make_schedule
from ..train.precision import make_autocast
from ..train.signals import stop_on_signal
from ..train.smallmaps import fast_small_maps
from .objective import make_objective, make_part
from .options import TrainingOptions
from .step import log

SAVE_SECONDS = 60.0
EVALUATION_BATCH = 256
FEW_UPDATES = 8


@dataclass
class Best:
    """The epoch that validation likes best so far: the highest accuracy, then the lowest loss."""

    epoch: int = 0
    accuracy: float = -1.0  # below any: the first epoch is always better
    loss: float = 0.0

    def improve(self, epoch: int, val: dict) -> bool:
        if (val["accuracy"], -val["loss"]) <= (self.accuracy, -self.loss):
            return False
        self.epoch, self.accuracy, self.loss = epoch, val["accuracy"], val["loss"]
        return True


class Training:
    """One training in a run folder: what it is made of, and how far it is.

    Args:
        model: trained in place; holds the best epoch's weights at the end.
        teacher: frozen classifier, or None.
        train, val: pictures; `val` may be None, the last epoch then counts as the best.
        precision: "bf16" or "fp32", resolved.
    """

    def __init__(
        self,
        run: Run,
        model: Classifier,
        options: TrainingOptions,
        *,
        train: Pictures,
        val: Pictures | None,
        teacher: Classifier | None,
        device: str,
        precision: str,
    ):
        self.run, self.model, self.options = run, model.to(device, memory_format=torch.channels_last), options
        self.device, self.precision = device, precision
        self.objective = make_objective(self.model, options, teacher.to(device) if teacher else None)
        augment = compose([(part.name, part.options) for part in options.augment])
        self.train_loader = Loader(train, batch_size=options.batch_size, seed=options.seed, augment=augment)
        self.val_loader = evaluation_loader(val) if val is not None else None
        self.optimizer = make_optimizer(self.model, options.optimizer, lr=options.lr, weight_decay=options.weight_decay)
        self.best, self.best_state = Best(), {}
        self.losses: list[float] = []
        self.seen_before = 0  # pictures of the epoch under way that were seen before it was resumed
        self.seconds = 0.0

    def to_best(self) -> dict:
        """Train to the end, resuming where a checkpoint lies; returns the `training` block of result.json."""
        if len(self.train_loader) < FEW_UPDATES:
            log.warning("  only %d updates an epoch: try a smaller --batch-size", len(self.train_loader))
        start, sums = self._resume()
        regularise = make_part(regularisers, self.options.sparsify)
        teacher = getattr(self.objective, "_teacher", None)
        with (
            stop_on_signal() as stop,
            fast_small_maps(self.model),
            fast_small_maps(teacher) if teacher else nullcontext(),
        ):
            clock = _Clock(self.seconds)
            for progress in fit(
                self.objective,
                self.train_loader,
                self.optimizer,
                epochs=self.options.epochs,
                schedule=make_schedule(self.options.schedule, warmup=self.options.warmup),
                seed=self.options.seed,
                start=start,
                sums=sums,
                precision=make_autocast(self.precision, self.device),
                after_update=(lambda lr: regularise(self.model.net, lr)) if regularise else None,
                save_now=lambda: bool(stop) or clock.save_due(),
            ):
                if progress.epoch_done:
                    self._end_epoch(progress, clock)
                self.seconds = clock.total()
                if stop or clock.save_due():
                    self._save(progress)
                    clock.saved()
                if stop and progress.epoch < self.options.epochs:
                    raise Interrupted(
                        stop.signal,
                        f"stopped after epoch {progress.epoch} of {self.options.epochs}. "
                        "The same command goes on from here.",
                    )
        return self._finish()

    def _end_epoch(self, progress: Progress, clock: _Clock) -> None:
        train = running(progress.sums)
        seconds = clock.lap()
        val = None
        if self.val_loader is not None:
            measured = evaluate(self._predict, self.val_loader, self.model.classes)
            val = {"loss": measured["loss"], "accuracy": measured["accuracy"], "recall": measured["macro_recall"]}
        if self.best.improve(progress.epoch, val or {"accuracy": 0.0, "loss": -progress.epoch}):
            self.best_state = {name: tensor.detach().clone() for name, tensor in self.model.net.state_dict().items()}
        pictures = int(progress.sums["seen"].sum()) - self.seen_before
        self.seen_before = 0
        line = {
            "epoch": progress.epoch,
            "lr": progress.lr,
            "seconds": round(seconds, 3),
            "images_per_second": round(pictures / seconds, 1),
            "train": train,
            "val": val,
        }
        if self.options.sparsify:
            line["zero_share"] = zero_share(self.model.net)
        self.losses.append(train["loss"])
        self.run.log(**line)
        log.info(epoch_line(line, self.options.epochs))
        clock.start_lap()

    def _predict(self, images: torch.Tensor) -> torch.Tensor:
        self.objective.mode(train=False)
        return self.model(images.to(self.device))

    def _save(self, progress: Progress) -> None:
        sums = {} if progress.epoch_done else progress.sums
        facts = {"best": vars(self.best), "seconds": self.seconds, "losses": self.losses}
        checkpoint.save(
            self.run.folder / "checkpoints",
            progress.step,
            self.objective,
            self.optimizer,
            sums,
            facts,
            more={f"best.{name}": tensor for name, tensor in self.best_state.items()},
        )

    def _resume(self) -> tuple[int, dict]:
        """Steps done and sums of the epoch under way."""
        found = checkpoint.newest(self.run.folder / "checkpoints", log.warning)
        if found is None:
            self.run.keep_metrics(0)
            return 0, {}
        sums = checkpoint.restore(found, self.objective, self.optimizer)
        self.seen_before = int(sums["seen"].sum()) if sums else 0
        self.best, self.seconds, self.losses = (
            Best(**found.facts["best"]),
            found.facts["seconds"],
            found.facts["losses"],
        )
        self.best_state = checkpoint.under(found.tensors, "best.")
        self.run.keep_metrics(found.step // len(self.train_loader))
        log.info("resumed at step %d of %d", found.step, len(self.train_loader) * self.options.epochs)
        return found.step, sums

    def _finish(self) -> dict:
        """Keep the last weights beside the best, and put the best into the model."""
        folder = self.run.folder / "checkpoints"
        folder.mkdir(exist_ok=True)
        self.model.cpu()
        checkpoint.write_tensors(folder / "last.safetensors", self.model.net.state_dict())
        if self.best_state:
            self.model.net.load_state_dict(self.best_state)
        self.model.eval()
        return {
            "epochs": self.options.epochs,
            "best_epoch": self.best.epoch,
            "min_loss": min(self.losses),
            "final_loss": self.losses[-1],
            "seconds": round(self.seconds, 2),
            "precision": self.precision,
            "device": self.device,
            "peak_memory_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        }


class _Clock:
    """Time in training, time of an epoch, time since the last save."""

    def __init__(self, before: float):
        self._before, self._start = before, time.perf_counter()
        self._lap = self._saved = self._start

    def total(self) -> float:
        return self._before + time.perf_counter() - self._start

    def lap(self) -> float:
        return max(time.perf_counter() - self._lap, 1e-6)

    def start_lap(self) -> None:
        self._lap = time.perf_counter()

    def save_due(self) -> bool:
        return time.perf_counter() - self._saved > SAVE_SECONDS

    def saved(self) -> None:
        self._saved = time.perf_counter()


def evaluation_loader(pictures: Pictures) -> Loader:
    return Loader(pictures, batch_size=EVALUATION_BATCH, seed=0, shuffle=False)


def epoch_line(line: dict, epochs: int) -> str:
    """One line of at most 80 columns for an epoch."""
    train, val = line["train"], line["val"]
    left = line["seconds"] * (epochs - line["epoch"])
    seen = f"val {100 * val['accuracy']:.1f} % (recall {100 * val['recall']:.1f})" if val else "no validation"
    width = len(str(epochs))
    return (
        f"  {line['epoch']:>{width}}/{epochs}  loss {train['loss']:.3f}  train {100 * train['accuracy']:.1f} %  "
        f"{seen}  {left:.0f} s left"
    )
