"""A learning rate that stays."""

from . import schedules
from .warmup import rise


@schedules.add("constant")
def constant(epoch: float, epochs: float, warmup: float) -> float:
    """1 after the warm-up."""
    return rise(epoch, epochs, warmup) if epoch < warmup else 1.0
