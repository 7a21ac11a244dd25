"""What the schedules share: the linear warm-up, and how far the rest has come."""

_FIRST = 1e-3  # of the training: the first update moves as well


def rise(epoch: float, epochs: float, warmup: float) -> float:
    """(epoch + 0.001 epochs) / (warmup + 0.001 epochs): in equal steps from nearly 0 to 1.

    Source: Goyal et al., "Accurate, Large Minibatch SGD", 2017, arXiv:1706.02677 (gradual warm-up).
    """
    return (epoch + _FIRST * epochs) / (warmup + _FIRST * epochs)


def rest(epoch: float, epochs: float, warmup: float) -> float:
    """u: the share of what follows the warm-up that is done, in [0, 1)."""
    return (epoch - warmup) / (epochs - warmup) if epochs > warmup else 0.0
