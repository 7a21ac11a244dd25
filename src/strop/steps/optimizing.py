"""From the options of a training to its optimizer and its schedule."""

from __future__ import annotations

from collections.abc import Callable

import torch

from ..models.classifier import Classifier
from ..train.optim import clip_gradients, layer_scales, make_optimizer, make_schedule
from .options import TrainingOptions


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
