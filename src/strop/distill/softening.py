"""What the losses on logits share: softened distributions, in log space, and the checks of their options."""

import torch.nn.functional as F
from torch import Tensor


def standardized(logits: Tensor) -> Tensor:
    """(logits - mean) / sd over the classes of each picture; sd of the sample, K - 1. Shape: (B, K), returned too."""
    return (logits - logits.mean(1, keepdim=True)) / (logits.std(1, keepdim=True) + 1e-7)


def soften(student: Tensor, teacher: Tensor, temperature: float, standardize: bool = False) -> tuple[Tensor, Tensor]:
    """log softmax(z / temperature) of both, z the logits or the standardized logits. Shape: (B, K) each."""
    if standardize:
        student, teacher = standardized(student), standardized(teacher)
    return F.log_softmax(student / temperature, 1), F.log_softmax(teacher / temperature, 1)


def divergence(log_student: Tensor, log_teacher: Tensor) -> Tensor:
    """KL(teacher || student) in nats, batch mean. Shape: (B, K) log probabilities each; returns ()."""
    return F.kl_div(log_student, log_teacher, reduction="batchmean", log_target=True)


def without(log_probabilities: Tensor, target: Tensor) -> Tensor:
    """The distribution over the other classes, summing to 1 again. Shape: (B, K), (B,); returns (B, K - 1)."""
    batch, classes = log_probabilities.shape
    others = log_probabilities[F.one_hot(target, classes) == 0].view(batch, classes - 1)
    return F.log_softmax(others, 1)


def check_options(*, temperature: float | None = None, **weights: float) -> None:
    """Raises ValueError for a temperature <= 0 and for a weight < 0."""
    if temperature is not None and temperature <= 0:
        raise ValueError(f"temperature is {temperature}; it must be above 0.")
    for name, weight in weights.items():
        if weight < 0:
            raise ValueError(f"{name} is {weight}; it must not be negative.")
