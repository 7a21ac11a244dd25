"""What strop prune --method svd does to a network: its large layers become two of a rank, once, before the training."""

from __future__ import annotations

from typing import Any

import torch

from ..data.load import Pictures
from ..errors import GateFailed, UserError
from ..models.classifier import Classifier
from ..prune import svd
from ..prune.prune import count_whole
from ..runs import Run
from .once import once
from .pruning import word_count
from .step import log
from .trials import score_before


class Factorizing:
    """The arguments are those of `pruning.Pruning`."""

    def __init__(self, run: Run, model: Classifier, options: Any, train: Pictures, val: Pictures | None):
        self.run, self.model, self.options, self.val = run, model, options, val
        self.kind, self.budget = options.budget
        self.before = count_whole(model.net, self.kind, model.preprocess.shape)
        self.limit = self.budget.limit(self.before)
        self.chosen: dict[str, Any] = {}

    def begin(self, builder: dict) -> dict:
        """Factor the layers; returns the builder that does it too."""
        self.chosen = once(self.run, "ranks", self._choose)
        ranks = self.chosen["ranks"]
        svd.factorize(self.model.net, ranks)
        amount = f"{word_count(self.chosen['after'])} of {word_count(self.before)} {self.kind}"
        log.info("%s: %s remain (budget %s)", self.run.id, amount, self.budget.text)
        log.info("  %d of %d large layers are two thin ones now", len(ranks), self.chosen["layers"])
        self.chosen |= score_before(self.run, "accuracy", self.model, self.val)
        return dict(builder, ranks=builder.get("ranks", {}) | ranks)

    def cut(self, number: int) -> None:
        """Nothing is left to do before the one round."""

    def report(self, trained: list[dict]) -> dict:
        """The `pruning` block of result.json."""
        after = self.run.model_file.stat().st_size if self.kind == "bytes" else self.chosen["after"]
        shown = ("round_to", "ranks", "accuracy_before_fine_tuning")
        return {
            "method": "svd",
            "budget": self.budget.text,
            "kind": self.kind,
            "limit": self.limit,
            "before": self.before,
            "after": after,
            **{name: self.chosen[name] for name in shown if name in self.chosen},
        }

    def _choose(self) -> dict:
        net, shape = self.model.net, self.model.preprocess.shape
        found = svd.spectra(net, torch.zeros(2, *shape), self.kind)
        if not found:
            raise UserError(
                "--method svd",
                f"this network has no layer of {svd.THIN:,} or more inputs and outputs that can be written as two. "
                "Leave it out to prune channels, or write unstructured.",
            )
        rest = self.before - sum(one.whole for one in found.values())
        try:
            plan = svd.choose_ranks(found, rest, self.limit, round_to=self.options.round_to)
        except GateFailed as error:
            raise GateFailed(f"--{self.kind} {self.budget.text}: {error}") from None
        ranks = {name: rank for name, rank in plan.keep.items() if rank < len(found[name].energy)}
        return {"ranks": ranks, "layers": len(found), "after": plan.cost, "round_to": plan.round_to}
