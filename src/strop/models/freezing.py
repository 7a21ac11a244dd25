"""Keep stages of a network as they are while the rest trains."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..errors import UserError

if TYPE_CHECKING:
    from torch import nn

ALL_BUT = "all-but-"
_WORD = re.compile(r"[A-Za-z]\w*(\.\.[A-Za-z]\w*)?")


def read_stages(value: Any) -> tuple[str, ...]:
    """What a user wrote as words: `stem,layer1`, `stem..layer3`, `all-but-head`, a list of them, or `none`.

    Raises:
        ValueError: what is not readable; whether the stages exist is for `choose_stages` to say.

    Example:
        >>> read_stages("stem, layer1..layer3")
        ('stem', 'layer1..layer3')
    """
    if value in (None, "none"):
        return ()
    words = value.split(",") if isinstance(value, str) else value
    if not isinstance(words, list | tuple) or not all(isinstance(word, str) for word in words):
        raise ValueError(f"{value!r} names no stages. Write stem,layer1 or stem..layer3 or all-but-head.")
    words = tuple(word.strip() for word in words)
    for place, word in enumerate(words):
        if not _WORD.fullmatch(word if place else word.removeprefix(ALL_BUT)):
            raise ValueError(f"'{word}' is no stage. Write stem,layer1 or stem..layer3 or all-but-head.")
    return words


def choose_stages(words: Sequence[str], stages: Iterable[str], where: str = "freeze") -> list[str]:
    """The stages that the words of `read_stages` name, in the order of the network.

    Raises:
        UserError: a name that is not among `stages`, which are listed, or a range from back to front.

    Example:
        >>> choose_stages(("all-but-layer4", "head"), ["stem", "layer1", "layer2", "layer3", "layer4", "head"])
        ['stem', 'layer1', 'layer2', 'layer3']
    """
    stages = list(stages)
    named: set[str] = set()
    for word in words:
        first, _, last = word.removeprefix(ALL_BUT).partition("..")
        last = last or first
        for name in (first, last):
            if name not in stages:
                raise UserError(where, f"'{name}' is no stage of this network. Its stages: {', '.join(stages)}.")
        if stages.index(first) > stages.index(last):
            raise UserError(where, f"'{word}' runs backwards. Write {last}..{first}.")
        named |= set(stages[stages.index(first) : stages.index(last) + 1])
    inverted = bool(words) and words[0].startswith(ALL_BUT)
    return [stage for stage in stages if (stage in named) != inverted]


@dataclass
class Frozen:
    """What `freeze` did to a network.

    Attributes:
        stages: the stages that don't train.
        trainable, total: parameters that train, and all.
        words: the stages for people.
    """

    stages: list[str]
    trainable: int
    total: int
    words: str
    _parameters: list[nn.Parameter]

    def describe(self) -> dict[str, Any]:
        """What result.json says of it."""
        return {"frozen": self.stages, "trainable_parameters": self.trainable}

    def thaw(self) -> None:
        """Let everything train again that trained before; what never did still does not."""
        for parameter in self._parameters:
            parameter.requires_grad_(True)


def word_stages(chosen: Sequence[str], stages: Iterable[str]) -> str:
    """Stages in few words: neighbours as a range.

    >>> word_stages(["stem", "layer1", "layer2", "head"], ["stem", "layer1", "layer2", "layer3", "head"])
    'stem..layer2, head'
    """
    runs: list[list[str]] = [[]]
    for stage in stages:
        if stage in chosen:
            runs[-1].append(stage)
        elif runs[-1]:
            runs.append([])
    return ", ".join(run[0] if len(run) == 1 else f"{run[0]}..{run[-1]}" for run in runs if run)


def freeze(net: nn.Module, num_classes: int, words: Sequence[str], where: str = "freeze") -> Frozen:
    """Let only the other stages train: what is frozen gets no gradient, and no optimizer takes it.

    A module all of whose parameters are frozen stays in eval mode, see `stay_frozen`.

    Raises:
        UserError: an unknown stage, or nothing left to train.
    """
    from .stages import stages

    found = stages(net, num_classes)
    frozen = choose_stages(words, found, where)
    if len(frozen) == len(found):
        raise UserError(where, f"nothing is left to train. Leave out one of {', '.join(found)}.")
    parameters = dict(net.named_parameters())
    switched = [parameters[name] for stage in frozen for name in found[stage] if parameters[name].requires_grad]
    for parameter in switched:
        parameter.requires_grad_(False)
    trainable = sum(p.numel() for p in parameters.values() if p.requires_grad)
    total = sum(p.numel() for p in parameters.values())
    return Frozen(frozen, trainable, total, word_stages(frozen, found), switched)


def stay_frozen(module: nn.Module) -> None:
    """Put the parts that are frozen as a whole into eval mode: their batch norms keep their statistics.

    Dropout and stochastic depth inside them are off too, so they compute what they compute in evaluation.
    """
    learns = [parameter.requires_grad for parameter in module.parameters()]
    if learns and not any(learns):
        module.eval()
    elif not all(learns):
        for child in module.children():
            stay_frozen(child)
