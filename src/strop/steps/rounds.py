"""Fine-tuning in rounds: something is done to the network before each, and each begins with the best of the last."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..launch import here
from ..models.classifier import Classifier
from ..runs import Run
from .phases import Phase
from .step import log
from .training import Training
from .unfinished import note_model

Facts = dict[str, Any]


def share_out(epochs: int, rounds: int) -> list[int]:
    """Epochs of each round, as even as it goes; the later rounds get what is left over.

    >>> share_out(8, 3)
    [2, 3, 3]
    """
    each, left = divmod(epochs, rounds)
    return [each + (number >= rounds - left) for number in range(rounds)]


def train_rounds(
    run: Run, model: Classifier, builder: dict, options: Any, prepare: Callable[[int], None], **parts: Any
) -> tuple[Facts, list[Facts]]:
    """Prepare and train, round after round; the model then holds the best weights of the last.

    A run that was stopped goes on in the round it had come to. Each round has a whole schedule and a new optimizer,
    and draws with the seed of the round before plus one.

    Args:
        options: of the training; its epochs are shared out over its rounds.
        prepare: changes the network in place before round `number`, from 1; in a resumed run in the same way.
        parts: what `Training` takes besides.
    Returns:
        the `training` block, and {"epochs", "best_epoch", "accuracy"} of each round.
    """
    done: list[Facts] = []
    for number, epochs in enumerate(share_out(options.epochs, options.rounds), 1):
        prepare(number)
        note_model(run, model, builder)
        update = {"epochs": epochs, "seed": options.seed + number - 1}
        place = Phase(run, number, sum(facts["epochs"] for facts in done)) if options.rounds > 1 else run
        facts = here().from_first(place.closed) if isinstance(place, Phase) else None
        if facts is None:
            if options.rounds > 1:
                log.info("round %d of %d: %d epochs", number, options.rounds, epochs)
            training = Training(place, model, options.model_copy(update=update), **parts)
            facts = training.to_best()
            facts["accuracy"] = training.best.accuracy if parts["val"] is not None else None
            if isinstance(place, Phase):
                place.close(model.net.state_dict(), facts)
        else:
            place.put_best_into(model)
            log.info("round %d of %d: done", number, options.rounds)
        done.append(facts)
    return _put_together(done), [{name: facts[name] for name in ("epochs", "best_epoch", "accuracy")} for facts in done]


def _put_together(done: list[Facts]) -> Facts:
    """One block for all rounds; what is best is the last round's, because the networks before were larger."""
    last = done[-1]
    before = sum(facts["epochs"] for facts in done[:-1])
    together = {
        "epochs": before + last["epochs"],
        "best_epoch": before + last["best_epoch"],
        "seconds": round(sum(facts["seconds"] for facts in done), 2),
        "peak_memory_bytes": max(facts["peak_memory_bytes"] for facts in done),
    }
    if any(facts.get("stopped_early") for facts in done):
        together["stopped_early"] = True
    return {name: value for name, value in (last | together).items() if name != "accuracy"}
