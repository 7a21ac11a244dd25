"""Dropout and stochastic depth, whatever a library calls them."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from ..errors import UserError
from . import build, resolve

# In the order in which they are tried: ours and torchvision's, then timm's (and torchvision's DenseNet's).
OPTIONS = {"dropout": ("dropout", "drop_rate"), "drop_path": ("stochastic_depth_prob", "drop_path_rate")}
_WORDS = {"dropout": "dropout", "drop_path": "stochastic depth"}
_PROBES = 0.25, 0.375  # any two values


def drop_options(builder: dict[str, Any], wanted: dict[str, float]) -> dict[str, float]:
    """The builder's own options for what is wanted.

    Which option a network has, and whether it heeds it (some take any option and drop it), is found by building it
    twice without memory, with two values, and comparing the plain attributes of all modules.

    Args:
        builder: "name" and "options", as `build` takes them.
        wanted: "dropout", "drop_path" or both; probabilities in [0, 1).
    Raises:
        UserError: the network has no such thing.

    Example:
        >>> drop_options({"name": "timm:resnet18", "options": {"num_classes": 10}}, {"drop_path": 0.1})
        {'drop_path_rate': 0.1}
    """
    found, problems = {}, []
    for what, value in wanted.items():
        key = next((key for key in OPTIONS[what] if _heeds(builder, key)), None)
        if key is None:
            library, name = resolve(builder["name"])
            problems.append(f"{what}: '{name}' of {library} has no {_WORDS[what]} to set. Leave it out.")
        else:
            found[key] = value
    if problems:
        raise UserError(f"model {builder['name']}", *problems)
    return found


def _heeds(builder: dict[str, Any], key: str) -> bool:
    """Whether the network's builder takes the option and makes another network of another value."""
    made = []
    for value in _PROBES:
        options = dict(builder["options"], pretrained=False) | {key: value}
        try:
            with torch.device("meta"):
                made.append(_numbers(build(builder["name"], **options)))
        except UserError:
            return False
    return made[0] != made[1]


def _numbers(net: nn.Module) -> list[dict[str, float]]:
    return [{key: value for key, value in vars(m).items() if isinstance(value, int | float)} for m in net.modules()]
