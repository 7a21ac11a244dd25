"""How much the pictures of a class count."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ..errors import UserError, suggest

BETA = 0.999
KINDS = ("none", "balanced", "effective")


def read_class_weights(value: object) -> str | dict[str, float]:
    """One of KINDS, or a table by class name: a mapping, or text such as cat=2,dog=0.5.

    Raises:
        ValueError: neither of them, or a weight that is not above 0.

    Example:
        >>> read_class_weights("cat=2,dog=0.5")
        {'cat': 2.0, 'dog': 0.5}
    """
    if isinstance(value, str) and "=" in value:
        pairs = [pair.rpartition("=") for pair in value.split(",")]
        value = {name.strip(): text for name, _, text in pairs}
    if not isinstance(value, dict):
        if value not in KINDS:
            raise ValueError(f"{value!r} is not an option. Write {', '.join(KINDS)} or a table such as cat=2,dog=0.5.")
        return value
    return {str(name): _read_weight(str(name), weight) for name, weight in value.items()}


def _read_weight(name: str, value: object) -> float:
    try:
        weight = float(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else 0.0
    except ValueError:
        weight = 0.0
    if not 0 < weight < float("inf"):
        raise ValueError(f"{value!r} is no weight for '{name}'. Write a number above 0.")
    return weight


def check_class_weights(wanted: str | dict[str, float], classes: Iterable[str]) -> None:
    """Raises UserError for a class that the data set does not have."""
    if isinstance(wanted, dict):
        unknown = [name for name in wanted if name not in classes]
        if unknown:
            raise UserError("class_weights", *(f"'{name}' is no class. {suggest(name, classes)}" for name in unknown))


def class_weights(wanted: str | dict[str, float], classes: Sequence[str], counts: Sequence[int]) -> list[float] | None:
    """The weight of each class; None where all count alike.

    balanced: w_k = N / (K n_k), so that every class has the same sum. effective: w_k in proportion to
    (1 - beta) / (1 - beta**n_k) with beta = 0.999, adding up to K: between "none" and "balanced", as of many alike
    pictures each adds less. A table: as written, and 1 for the classes that it leaves out. N and K count the classes
    with pictures; one without has weight 1. Only ratios matter: the loss is divided by the sum of the weights.

    Source: Cui et al., "Class-Balanced Loss Based on Effective Number of Samples", CVPR 2019, arXiv:1901.05555
    (effective; they choose beta from 0.9 to 0.9999).

    Args:
        wanted: from `read_class_weights`.
        counts: training pictures of each class, n_k.

    Example:
        >>> class_weights("balanced", ["cat", "dog"], [30, 10])
        [0.6666666666666666, 2.0]
    """
    if wanted == "none":
        return None
    if isinstance(wanted, dict):
        return [wanted.get(name, 1.0) for name in classes]
    present = [count for count in counts if count]
    if wanted == "balanced":
        return [sum(present) / (len(present) * count) if count else 1.0 for count in counts]
    total = sum(1 / (1 - BETA**count) for count in present)
    return [len(present) / (1 - BETA**count) / total if count else 1.0 for count in counts]
