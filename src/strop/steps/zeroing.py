"""What strop prune --method unstructured does to a network: small weights become zero, and stay so in training."""

from __future__ import annotations

from typing import Any

from ..config import Part
from ..data.load import Pictures
from ..errors import GateFailed
from ..models.classifier import Classifier
from ..prune.unstructured import choose_kept, count_remaining, silence
from ..runs import Run
from .once import once
from .pruning import describe_rounds, word_count
from .step import log
from .trials import score_before

NOTE = "Zeros save bytes in an exported file, not time: they are multiplied as others."


class Zeroing:
    """The arguments are those of `pruning.Pruning`.

    Attributes:
        options: with the regulariser that keeps zeros zero.
    """

    def __init__(self, run: Run, model: Classifier, options: Any, train: Pictures, val: Pictures | None):
        self.run, self.model, self.val = run, model, val
        self.options = options.model_copy(update={"sparsify": Part(name="keep-zeros")})
        self.budget = options.params
        self.before = sum(parameter.numel() for parameter in model.net.parameters())
        self.limit = self.budget.limit(self.before)
        self.rounds: list[dict] = []

    def begin(self, builder: dict) -> dict:
        """Nothing is done to how the network is built."""
        return builder

    def cut(self, number: int) -> None:
        """Make weights zero until so many parameters remain as after round `number`, from 1."""
        net, options = self.model.net, self.options
        start = once(self.run, "start", lambda: count_remaining(net))
        part = number / options.rounds
        limit = self.limit if part == 1 else int(start * min(1.0, self.limit / start) ** part)
        try:
            kept = once(self.run, f"round {number}", lambda: choose_kept(net, limit, scope=options.scope))
        except GateFailed as error:
            raise GateFailed(f"--params {self.budget.text}: {error}") from None
        silence(net, kept)
        chosen = {"limit": limit, "after": count_remaining(net)}
        log.info(
            "%s: %s of %s parameters are not zero (budget %s)",
            f"round {number} of {options.rounds}" if part < 1 else self.run.id,
            *(word_count(count) for count in (chosen["after"], self.before)),
            self.budget.text,
        )
        if part == 1:
            log.info("  %s", NOTE)
        self.rounds.append(chosen | score_before(self.run, f"round {number}, accuracy", self.model, self.val))

    def report(self, trained: list[dict]) -> dict:
        """The `pruning` block of result.json; see `Pruning.report`."""
        last = self.rounds[-1]
        return {
            "method": "unstructured",
            "budget": self.budget.text,
            "kind": "params",
            "limit": self.limit,
            "before": self.before,
            "after": count_remaining(self.model.net),
            "scope": self.options.scope,
            **{name: last[name] for name in ("accuracy_before_fine_tuning",) if name in last},
            **describe_rounds(self.rounds, trained),
            "note": NOTE,
        }
