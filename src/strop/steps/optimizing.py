"""From the options of a training to how its weights move: gradient, optimizer, schedule, and what follows an update."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import count

import torch

from ..models.classifier import Classifier
from ..quantize.constraints import constraints
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


def optimizer_of(
    options: TrainingOptions, model: Classifier, objective: torch.nn.Module | None = None
) -> torch.optim.Optimizer:
    """Over the trainable parameters of the network, and what the objective trains beside it (adapters).

    Raises:
        UserError: it refuses its options.
    """
    decay = options.layer_decay
    optimizer = make_optimizer(
        model.net,
        options.optimizer.name,
        lr=options.lr,
        weight_decay=options.weight_decay,
        scales=layer_scales(model.net, len(model.classes), decay) if decay else None,
        options=options.optimizer.options,
        beside=objective.beside() if hasattr(objective, "beside") else (),
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


def begin_regularisers(options: TrainingOptions, model: Classifier) -> list[Callable]:
    """What moves the weights after each update; it may look at the network as it is before the first one.

    Raises:
        UserError: it refuses its options, or the network.
    """
    made = [make_part(regularisers, options.sparsify), make_part(constraints, options.constrain)]
    found = [part for part in made if part is not None]
    for part in found:
        if hasattr(part, "begin"):
            blank = torch.zeros(2, *model.preprocess.shape, dtype=torch.uint8, device=model.scale.device)
            part.begin(model.net, model.normalize(blank))
    return found


def after_update_of(
    regularise: list[Callable],
    options: TrainingOptions,
    net: torch.nn.Module,
    average: dict[str, torch.Tensor],
    start: int,
) -> Callable[[float], None] | None:
    """The steps of the regularisers, then that of the moving average.

    Args:
        regularise: from `begin_regularisers`.
        average: of the network's state; empty where none is kept.
        start: updates done before.
    """
    updates = count(start)

    def after(lr: float) -> None:
        update = next(updates)
        for part in regularise:
            part(net, lr, update)
        if average:
            update_average(average, net, decay_at(update, options.ema))

    return after if regularise or average else None
