"""The temperature that the probabilities of a run are given with. No torch."""

from __future__ import annotations

from ..measure.temperature import HIGHEST, LOWEST
from ..runs import Run


def temperature_of(run: Run) -> float | None:
    """The temperature of a run's weights, fitted on validation pictures; None where there were none.

    softmax(logits / temperature) are its calibrated probabilities.
    """
    return next((entry.get("temperature") for entry in run.result.get("measured", []) if entry["split"] == "val"), None)


def temperature_to_use(run: Run) -> float:
    """`temperature_of`, or 1 where the validation pictures could not tell it.

    Where all of them are answered right the fit ends at its bound, and every answer would be called certain.
    """
    fitted = temperature_of(run)
    return fitted if fitted is not None and LOWEST < fitted < HIGHEST else 1.0
