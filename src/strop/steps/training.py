"""Train a classifier to its best epoch: the caller's side of `train.fit`."""

from __future__ import annotations

import math
import time
from contextlib import closing, nullcontext
from functools import partial
from typing import NoReturn

import torch

from ..augment import compose
from ..data.load import Loader, Pictures
from ..errors import Interrupted, NotFinite, RunFailed
from ..launch import here
from ..measure.evaluate import evaluate
from ..measure.metrics import running
from ..models.classifier import Classifier
from ..runs import Run
from ..train import checkpoint
from ..train.ema import start_average
from ..train.environment import differences, environment
from ..train.fit import Progress, fit
from ..train.precision import make_autocast
from ..train.scaling import make_scaling
from ..train.signals import StopRequest, stop_on_signal
from ..train.smallmaps import fast_small_maps
from .answers import keep_answers, with_answers
from .computing import compiled, evaluation_loader, lay_out, naming_what_fits, resolve_batch_size
from .epochs import Best, Clock, Journal, bar, peak_memory
from .many import Decision, make_parts
from .objective import make_objective
from .optimizing import after_update_of, begin_regularisers, gradient_of, optimizer_of, schedule_of
from .options import TrainingOptions
from .parts import split_mixing
from .saving import Checkpoints, all_finite, bytes_of_checkpoint
from .sparsity import sparsity_of
from .step import log

MOST_ROLLBACKS = 3


class Training:
    """One training in a run folder: what it is made of, and how far it is.

    Args:
        model: trained in place; holds the best epoch's weights at the end.
        teacher: frozen classifier, or None.
        train, val: pictures; `val` may be None, the last epoch then counts as the best.
        precision: "bf16", "fp16" or "fp32", resolved.
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
        self.run, self.model = run, model.to(device)
        lay_out(self.model, run, options.channels_last)
        self.device, self.precision = device, precision
        self.autocast, self.scaling = make_autocast(precision, device), make_scaling(precision, device)
        teacher = keep_answers(teacher, train, options, device=device, precision=precision)
        self.objective = make_objective(self.model, options, teacher.to(device) if teacher else None, train.labels)
        shape = model.preprocess.shape
        self.options = options = resolve_batch_size(run, options, self.objective, shape, self.autocast, len(train))
        self.naming_what_fits = partial(naming_what_fits, self.objective, options, shape, self.autocast)
        augment = compose([(part.name, part.options) for part in split_mixing(options.augment)[0]])
        self.train_loader = Loader(
            train,
            batch_size=options.batch_size,
            seed=options.seed,
            augment=augment,
            sampling=options.sampling,
            parts=make_parts(options, model),
        )
        self.train_loader = with_answers(self.train_loader, teacher)
        self.val_loader = evaluation_loader(val) if val is not None else None
        self.optimizer = optimizer_of(options, self.model, self.objective)
        self.regularisers = begin_regularisers(options, self.model)
        self.checkpoints = Checkpoints(
            run.checkpoints,
            seconds=60 * options.save_minutes,
            epochs=options.save_epochs,
            keep=options.keep,
        )
        self.journal = Journal(run, epochs=options.epochs, device=device, tensorboard=options.tensorboard)
        self.environment = environment(
            device=device,
            precision=precision,
            compiled=options.compile,
            processes=self.train_loader.parts.ranks,
        )
        self.decision = Decision(StopRequest(), self.checkpoints)
        self.average = start_average(self.model.net) if options.ema else {}
        self.best, self.best_state = Best(), {}
        self.losses: list[float] = []
        self.seen_before = 0  # pictures of the epoch under way that were seen before it was resumed
        self.rollbacks: list[dict] = []
        self.clock, self.seconds = Clock(0.0), 0.0

    def to_best(self) -> dict:
        """Train to the end, resuming where a checkpoint lies; returns the `training` block of result.json."""
        self.checkpoints.check_room(bytes_of_checkpoint(self.objective, self.optimizer, self._weights()))
        teacher = getattr(self.objective, "_teacher", None)
        with (
            closing(self.checkpoints),
            closing(self.journal),
            stop_on_signal() as stop,
            fast_small_maps(self.model) if not self.options.compile else nullcontext(),
            fast_small_maps(teacher) if teacher else nullcontext(),
            compiled(self.model.net, self.options.compile),
            self.naming_what_fits(),
        ):
            self.decision = Decision(stop, self.checkpoints)
            here().wait_for_all()  # decoding all pictures takes one longer than another
            here().share([*self.objective.parameters(), *self.objective.buffers(), *self.average.values()])
            self._fit_finite()
            self.checkpoints.wait()
        return self._finish()

    def _fit_finite(self) -> None:
        """Train to the end; where a loss is not finite, go back and on with half the learning rate, or fail."""
        begin = self._resume
        while True:
            try:
                return self._fit(*begin())
            except NotFinite as bad:
                begin = partial(self._roll_back, bad)

    def _fit(self, start: int, sums: dict) -> None:
        """From update `start`; ends early when a signal asks for it, with a checkpoint, or when patience is over."""
        if start % len(self.train_loader) == 0 and self._patience_is_over(start // len(self.train_loader)):
            return
        self.clock = Clock(self.seconds)
        schedule = schedule_of(self.options)
        halved = 0.5 ** len(self.rollbacks)
        how = {"precision": self.autocast, "backward": self.scaling.backward, "ranks": here()}
        gradient = gradient_of(self.options, **how)
        with bar(len(self.train_loader) * self.options.epochs, start) as show:
            for progress in fit(
                self.objective,
                self.train_loader,
                self.optimizer,
                epochs=self.options.epochs,
                schedule=lambda t: halved * schedule(t),
                seed=self.options.seed,
                start=start,
                sums=sums,
                gradient=gradient,
                update=self.scaling.step,
                after_update=after_update_of(self.regularisers, self.options, self.model.net, self.average, start),
                save_now=lambda: show() or self.decision.settle(),
            ):
                show(progress.step)
                if progress.epoch_done:
                    self._end_epoch(progress)
                    self.decision.settle(progress.epoch)
                if self.decision.save or progress.epoch_done and self._goes_back:
                    self._save(progress)
                self._stop_if_asked(progress)
                if progress.epoch_done and self._patience_is_over(progress.epoch):
                    break
        self.seconds = self.clock.total()

    def _patience_is_over(self, epoch: int) -> bool:
        return self.options.patience is not None and epoch - self.best.epoch >= self.options.patience

    def _stop_if_asked(self, progress: Progress) -> None:
        if self.decision.signal:
            raise Interrupted(
                self.decision.signal,
                f"stopped after epoch {progress.epoch} of {self.options.epochs}. The same command goes on from here.",
            )

    def _end_epoch(self, progress: Progress) -> None:
        """Measure, note and show an epoch; stopped in the middle, a checkpoint says that this is still to be done."""
        seconds = self.clock.lap()
        self.decision.settle()
        if not all_finite(self.objective.state_dict()):
            self._refuse("a weight is not finite", progress)
        try:
            self._stop_if_asked(progress)
            val = self._validate(progress)
        except Interrupted:
            self._save(progress, measured=False)
            raise
        train = running(progress.sums)
        if self.best.improve(progress.epoch, val or {"accuracy": 0.0, "loss": -progress.epoch}):
            self.best_state = {name: tensor.detach().clone() for name, tensor in self._weights().items()}
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
        if self.rollbacks:
            line["rollbacks"] = len(self.rollbacks)
        if self.options.sparsify:
            line |= sparsity_of(self.model.net)
        self.losses.append(train["loss"])
        self.journal.write(line)
        self.clock.start_lap()

    def _weights(self) -> dict[str, torch.Tensor]:
        """What is measured and kept: the moving average where there is one."""
        return self.average or self.model.net.state_dict()

    def _validate(self, progress: Progress) -> dict | None:
        if self.val_loader is None:
            return None

        def predict(images: torch.Tensor) -> torch.Tensor:
            self._stop_if_asked(progress)
            self.objective.mode(train=False)
            weights = {f"net.{name}": tensor for name, tensor in self.average.items()}
            return torch.func.functional_call(self.model, weights, (images.to(self.device),), tie_weights=False)

        scores = evaluate(predict, self.val_loader, self.model.classes, ranks=here())
        if not math.isfinite(scores["loss"]):
            self._refuse(f"the validation loss is {scores['loss']}", progress)
        return {"loss": scores["loss"], "accuracy": scores["accuracy"], "recall": scores["macro_recall"]}

    def _refuse(self, what: str, progress: Progress) -> NoReturn:
        epoch = -(-progress.step // len(self.train_loader))
        raise NotFinite(what, step=progress.step - 1, epoch=epoch, lr=progress.lr)

    def _save(self, progress: Progress, *, measured: bool = True) -> None:
        """A checkpoint; sums at an epoch's end mean that the epoch is still to be measured."""
        if not progress.epoch_done and not all_finite(self.objective.state_dict()):
            return  # the next update says so, at a step that doesn't depend on when something is saved
        if progress.epoch_done and self._goes_back:
            self.checkpoints.stays = progress.step
        if here().rank:
            return
        start = time.perf_counter()
        sums = {} if progress.epoch_done and measured else progress.sums
        facts = {
            "best": vars(self.best),
            "seconds": self.clock.total(),
            "losses": self.losses,
            "rollbacks": self.rollbacks,
            "lr": progress.lr,
            "scaler": self.scaling.state(),
            "environment": self.environment,
        }
        more = {f"best.{name}": tensor for name, tensor in self.best_state.items()}
        more |= {f"ema.{name}": tensor for name, tensor in self.average.items()}
        snapshot = checkpoint.take(progress.step, self.objective, self.optimizer, sums, facts, more=more)
        self.checkpoints.write(snapshot, took=time.perf_counter() - start)

    def _resume(self) -> tuple[int, dict]:
        """Steps done and sums of the epoch under way."""
        found = self.checkpoints.newest()
        if found is None:
            self.journal.begin_after(0)
            if self._goes_back:
                self._save(Progress(0, 0, True, self.options.lr))
            return 0, {}
        if self._goes_back:
            self.checkpoints.stays = found.step - found.step % len(self.train_loader)
        changed = differences(found.facts["environment"], self.environment)
        sums = self._restore(found)
        log.info("resumed at step %d of %d", found.step, len(self.train_loader) * self.options.epochs)
        if changed:
            log.warning("resumed, no longer bit-exact because %s", ", ".join(changed))
        return found.step, sums

    def _restore(self, found: checkpoint.Checkpoint, rollbacks: list[dict] | None = None) -> dict:
        """Everything as it was at a checkpoint; measures its epoch where that was still to be done."""
        per_epoch = len(self.train_loader)
        sums = checkpoint.restore(found, self.objective, self.optimizer)
        self.seen_before = int(sums["seen"].sum()) if sums else 0
        self.best = Best(**found.facts["best"])
        self.seconds, self.losses = found.facts["seconds"], found.facts["losses"]
        self.scaling.restore(found.facts["scaler"])
        self.rollbacks = found.facts["rollbacks"] if rollbacks is None else rollbacks
        self.best_state = checkpoint.under(found.tensors, "best.")
        for name, tensor in checkpoint.under(found.tensors, "ema.").items():
            self.average[name].copy_(tensor)
        epochs, inside = divmod(found.step, per_epoch)
        self.journal.begin_after(epochs - bool(sums and not inside))
        if sums and not inside:
            self.clock = Clock(self.seconds)
            self._end_epoch(Progress(found.step, epochs, True, found.facts["lr"], sums))
            return {}
        return sums

    @property
    def _goes_back(self) -> bool:
        return self.options.on_nan == "rollback"

    def _roll_back(self, bad: NotFinite) -> tuple[int, dict]:
        """To the end of the last good epoch, which is the same wherever the run was interrupted before."""
        if not self._goes_back:
            raise RunFailed(f"{bad} {self.checkpoints.describe_newest()}") from bad
        if len(self.rollbacks) == MOST_ROLLBACKS:
            raise RunFailed(f"{bad} Going back {MOST_ROLLBACKS} times and halving the rate did not help.") from bad
        seconds = self.clock.total()
        found = self.checkpoints.newest(every=len(self.train_loader))
        if found is None:
            raise RunFailed(f"{bad} No whole checkpoint of an epoch's end is left to go back to.") from bad
        epoch = found.step // len(self.train_loader)
        about = {"epoch": bad.epoch, "step": bad.step, "lr": bad.lr, "to_epoch": epoch}
        self.rollbacks = [*self.rollbacks, about]
        sums = self._restore(found, self.rollbacks)
        self.seconds = seconds
        checkpoint.drop_after(self.checkpoints.folder, found.step)
        self._save(Progress(found.step, epoch, True, found.facts["lr"]))
        log.warning("  %s", str(bad).partition(" Lower")[0])
        log.warning("  going on after epoch %d with %g of the learning rate", epoch, 0.5 ** len(self.rollbacks))
        return found.step, sums

    def _finish(self) -> dict:
        """Keep the last weights beside the best, and put the best into the model."""
        folder = self.run.checkpoints
        folder.mkdir(exist_ok=True)
        self.model.net.load_state_dict(self._weights())
        self.model.cpu()
        checkpoint.write_tensors(folder / "last.safetensors", self.model.net.state_dict())
        if self.best_state:
            self.model.net.load_state_dict(self.best_state)
        self.model.eval()
        return {
            "epochs": len(self.losses),
            "best_epoch": self.best.epoch,
            "batch_size": self.options.batch_size,
            "min_loss": min(self.losses),
            "final_loss": self.losses[-1],
            "seconds": round(self.seconds, 2),
            "precision": self.precision,
            "device": self.device,
            "peak_memory_bytes": peak_memory(self.device),
            **({"stopped_early": True} if len(self.losses) < self.options.epochs else {}),
            **({"rollbacks": self.rollbacks} if self.rollbacks else {}),
        }
