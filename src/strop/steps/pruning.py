"""What strop prune does to a network: blocks go, then channels, round by round. What was chosen is written down."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial
from textwrap import fill
from typing import Any

from ..data.load import Loader, Pictures
from ..errors import GateFailed, UserError
from ..launch import here
from ..models.attention import attentions, uncut_attentions
from ..models.blocks import remove_blocks
from ..models.classifier import Classifier
from ..prune.budget import Plan, narrowest, solve
from ..prune.channels import loss_gradients
from ..prune.criteria import criteria
from ..prune.latency import fit_latency
from ..prune.prune import Ranked, count_whole, counter, cut, rank_channels
from ..runs import Run
from .clocking import Clocked
from .once import once
from .step import log
from .trials import choose_blocks, measure_groups, score_before

GRADIENT_BATCH = 128
LOOSE = 0.1  # how far under its limit a network may be that is only on the way, or is measured in ms


class Pruning:
    """The pruning of one network, in place.

    Args:
        model: whose network is pruned.
        options: the step's config.
        train: pictures for criteria that look at gradients.
        val: pictures to judge on, or None.
    """

    def __init__(self, run: Run, model: Classifier, options: Any, train: Pictures, val: Pictures | None):
        self.run, self.model, self.options, self.train, self.val = run, model, options, train, val
        self.net, self.shape = model.net, model.preprocess.shape
        self.kind, self.budget = options.budget
        self.before = self.limit = None
        self.clock = Clocked(copy.deepcopy(self.net), self.shape) if self.kind == "latency" else None
        if self.clock:
            self.before = once(run, "before", lambda: here().from_first(self.clock.whole))
        elif self.kind:
            self.before = count_whole(self.net, self.kind, self.shape)
        if self.kind:
            self.limit = self.budget.limit(self.before)
        self._note_attention()
        self.about: dict[str, Any] = {}
        self.widths: dict[str, int] = {}
        self.rounds: list[dict] = []

    def _note_attention(self) -> None:
        """Say which attention keeps its heads; refuse an option that has nothing to act on."""
        wanted, whole = self.options.attention, uncut_attentions(self.net)
        if wanted != "both" and not attentions(self.net):
            raise UserError(f"--attention {wanted}", "the network has no attention that can be cut. Leave it out.")
        if whole and self.kind:
            kinds = ", ".join(sorted(set(whole.values())))
            log.info("%s: %d layers of attention keep their heads and their width:", self.run.id, len(whole))
            log.info("  %s can't be cut; what else has channels is", kinds)

    def begin(self, builder: dict) -> dict:
        """Remove the blocks that --depth asks for; returns the builder without them."""
        if self.options.depth is None:
            return builder
        count, by, seed = self.options.depth, self.options.depth_by, self.options.seed
        rows = once(self.run, "blocks", lambda: choose_blocks(self.model, count, by, self.val, seed))
        names = [row["block"] for row in rows]
        remove_blocks(self.net, names)
        log.info("%s: %d block%s taken out", self.run.id, len(names), "s" * (len(names) > 1))
        log.info("%s", fill(", ".join(names), 78, initial_indent="  ", subsequent_indent="  "))
        self.about["blocks"] = rows
        return dict(builder, without=[*builder.get("without", ()), *names])

    def cut(self, number: int) -> None:
        """Remove the channels of round `number`, from 1."""
        if not self.kind and not self.options.sensitivity:
            return
        ranked = self._rank()
        if number == 1:
            self.widths = ranked.widths
            if self.options.sensitivity:
                self.about["sensitivity"] = once(
                    self.run, "sensitivity", lambda: measure_groups(self.model, ranked, self.val, self.options.seed)
                )
        if not self.kind:
            return
        name = f"round {number}"
        try:
            chosen = once(self.run, name, lambda: self._choose(ranked, number))
        except GateFailed as error:
            raise GateFailed(f"--{self.kind} {self.budget.text}: {error}") from None
        cut(self.net, ranked, Plan(chosen["keep"], chosen["after"], chosen["round_to"]))
        self._say(number, chosen)
        self.rounds.append(chosen | score_before(self.run, f"{name}, accuracy", self.model, self.val))

    def report(self, trained: list[dict]) -> dict:
        """The `pruning` block of result.json.

        Args:
            trained: for each round the `training` facts.
        """
        options, block = self.options, {}
        if self.kind:
            last = self.rounds[-1]
            block = {
                "budget": self.budget.text,
                "kind": self.kind,
                "limit": self.limit,
                "before": self.before,
                "after": last["after"],
                "scope": options.scope,
                "round_to": last["round_to"],
                "widths": {name: [width, last["keep"][name]] for name, width in self.widths.items()},
                "criterion": options.criterion.name,
            }
            if self.kind == "bytes":  # predicted to a few bytes
                block["after"] = self.run.model_file.stat().st_size
            more = ("accuracy_before_fine_tuning", "candidates")
            block |= {name: last[name] for name in more if name in last}
        return block | describe_rounds(self.rounds, trained) | self.about

    def _rank(self) -> Ranked:
        options = self.options
        criterion, gradients = criteria.get(options.criterion.name), None
        if getattr(criterion, "needs_gradients", False):
            size = options.batch_size if isinstance(options.batch_size, int) else GRADIENT_BATCH
            loader = Loader(self.train, batch_size=size, seed=options.seed)
            gradients = loss_gradients(self.model, loader, net=self.net)
        criterion = partial(criterion, **options.criterion.options)
        attention = options.attention
        return rank_channels(self.net, self.shape, criterion, gradients, seed=options.seed, attention=attention)

    def _choose(self, ranked: Ranked, number: int) -> dict:
        """Widths of a round: the budget at the last one, a geometric mean of it and the start before."""
        part = number / self.options.rounds
        if self.kind != "latency":
            cost = counter(self.net, ranked, self.kind)
            start = once(self.run, "start", lambda: cost(ranked.widths))
            if part == 1 or self.limit >= start:
                return _describe(self._solve(ranked, cost, self.limit), self.limit)
            return self._on_the_way(ranked, cost, int(start * (self.limit / start) ** part))
        cost = counter(self.net, ranked, "macs")
        start = once(self.run, "start", lambda: cost(ranked.widths))
        if part < 1:  # only the last round is measured; until then time is taken to be in proportion
            return self._on_the_way(ranked, cost, int(start * min(1, self.limit / self.before) ** part))
        return here().from_first(lambda: self._choose_by_clock(ranked, cost))

    def _on_the_way(self, ranked: Ranked, cost: Callable, limit: int) -> dict:
        """Widths before the last round, which need not be exact: round widths can become smaller round widths."""
        return _describe(self._solve(ranked, cost, limit, tolerance=LOOSE), limit)

    def _solve(self, ranked: Ranked, cost: Callable, limit: int, **more: Any) -> Plan:
        more |= {"scope": self.options.scope, "round_to": self.options.round_to, "rules": ranked.rules}
        return solve(ranked.importance, cost, limit, **more)

    def _choose_by_clock(self, ranked: Ranked, cost: Callable) -> dict:
        """Widths that are fast enough, and all that were measured for it."""
        whole, rows = cost(ranked.widths), []

        def plan_for(share: float) -> Plan | None:
            try:
                return self._solve(ranked, cost, int(share * whole), tolerance=LOOSE)
            except GateFailed:
                return None

        def measure(plan: Plan) -> float:
            candidate = copy.deepcopy(self.net)
            cut(candidate, ranked, plan)
            row = self.clock(candidate)
            rows.append({"macs": plan.cost, "round_to": plan.round_to, **row, "milliseconds": self._in_budget(row)})
            beside = f"{row['p50']:.4g} ms (p95 {row['p95']:.4g}; the parent {row['parent_p50']:.4g})"
            log.info("  %s MACs: %s", f"{plan.cost:,}", beside)
            return rows[-1]["milliseconds"]

        all_of_it = Plan(ranked.widths, whole, self.options.round_to)
        is_parent = self.options.rounds == 1 and self.options.depth is None
        now = self.before if is_parent else measure(all_of_it)
        if not is_parent and (1 - LOOSE) * self.limit <= now <= self.limit:
            return _describe(all_of_it, self.limit) | {"after": now, "candidates": rows}
        taken, _ = fit_latency(
            plan_for,
            measure,
            limit=self.limit,
            whole=now,
            narrowest=cost(narrowest(ranked.importance, self.options.scope, ranked.rules)) / whole,
        )
        return _describe(taken.plan, self.limit) | {"after": taken.milliseconds, "candidates": rows}

    def _in_budget(self, row: dict) -> float:
        """The milliseconds that count: as they are or, for a share of the parent's, by the parent's time now."""
        if self.budget.share is None:
            return row["p50"]
        return round(self.before * row["p50"] / row["parent_p50"], 4)

    def _say(self, number: int, chosen: dict) -> None:
        options, unit = self.options, {"latency": "ms", "bytes": "bytes"}.get(self.kind, self.kind)
        ending = number == options.rounds
        if not ending:
            log.info("round %d of %d: %s remain", number, options.rounds, word_count(chosen["after"]))
        else:
            amount = f"{word_count(chosen['after'])} of {word_count(self.before)} {unit}"
            log.info("%s: %s remain (budget %s)", self.run.id, amount, self.budget.text)
        if chosen["round_to"] != options.round_to:
            log.info("  channels in multiples of %d: at %d it misses the budget", chosen["round_to"], options.round_to)


def describe_rounds(rounds: list[dict], trained: list[dict]) -> dict:
    """What each of several rounds removed and reached; nothing of a single one."""
    if len(rounds) < 2:
        return {}
    shown = ("limit", "after", "round_to", "accuracy_before_fine_tuning")
    return {
        "rounds": [
            {"round": n, **{name: chosen[name] for name in shown if name in chosen}, **facts}
            for n, (chosen, facts) in enumerate(zip(rounds, trained, strict=True), 1)
        ]
    }


def _describe(plan: Plan, limit: float) -> dict:
    return {"keep": plan.keep, "limit": limit, "after": plan.cost, "round_to": plan.round_to}


def word_count(number: float) -> str:
    """With thousands grouped, or in four digits where it is no whole number."""
    return f"{number:,}" if isinstance(number, int) else f"{number:.4g}"
