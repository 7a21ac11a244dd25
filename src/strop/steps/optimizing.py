"""From the options of a training to how its weights move: gradient, optimizer, schedule, and what follows an update."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import count

import torch

from ..models.classifier import Classifier
from ..sparsify import regularisers
from ..train.ema import decay_at, update_average
from ..train.gradient import batch_gradient
from ..train.optim import clip_gradients, layer_scales, make_optimizer, make_schedule
from ..train.sam import sam_gradient
from .objective import make_part
from .options import TrainingOptions


def gradient_of(options: TrainingOptions, **how) -> Callable:
    """Of the batch at the weights, or at the worst place near them. `how` is bound to `batch_gradient`."""
    plain = partial(batch_gradient, **how)
    return partial(sam_gradient, rho=options.sam, gradient=plain) if options.sam else plain


def optimizer_of(options: TrainingOptions, model: Classifier) -> torch.optim.Optimizer:
    """Over the trainable parameters of the network. Raises UserError when it refuses its options."""
    decay = options.layer_decay
    optimizer = make_optimizer(
        model.net,
        options.optimizer.name,
        lr=options.lr,
        weight_decay=options.weight_decay,
        scales=layer_scales(model.net, len(model.classes), decay) if decay else None,
        options=options.optimizer.options,
    )
    if options.clip:
        clip_gradients(optimizer, options.clip)
    return optimizer


def schedule_of(options: TrainingOptions) -> Callable[[float], float]:
    """The factor on the learning rate. Raises UserError when the schedule refuses its options."""
    given = options.warmup_epochs
    warmup = options.warmup * options.epochs if given is None else given
    name, its = options.schedule.name, options.schedule.options
    return make_schedule(name, epochs=options.epochs, warmup=warmup, options=its)


def after_update_of(
    options: TrainingOptions, net: torch.nn.Module, average: dict[str, torch.Tensor], start: int
) -> Callable[[float], None] | None:
    """The regulariser's step, then that of the moving average.

    Args:
        average: of the network's state; empty where none is kept.
        start: updates done before.
    """
    regularise, updates = make_part(regularisers, options.sparsify), count(start)

    def after(lr: float) -> None:
        if regularise:
            regularise(net, lr)
        if average:
            update_average(average, net, decay_at(next(updates), options.ema))

    return after if regularise or average else None
