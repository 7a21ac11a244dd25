"""What resuming needs, as safetensors + JSON + sha256; written whole, the last two kept."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor

from ..runs import write_json, write_whole

KEPT = 2


@dataclass
class Checkpoint:
    """A point in training: nothing else is needed to go on, because the rest is a function of seed and step.

    Attributes:
        step: updates done.
        tensors: "objective.*", "optimizer.<group>.<index>.<name>" and "sums.<part>".
        facts: anything JSON that the caller wants back (best epoch so far, ...).
    """

    step: int
    tensors: dict[str, Tensor]
    facts: dict


def save(
    folder: Path,
    step: int,
    objective: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    sums: dict[str, Tensor],
    facts: dict,
    *,
    more: dict[str, Tensor],
) -> None:
    """Write one checkpoint; older ones than the last two are removed only after it is whole.

    Args:
        sums: the named parts of the epoch under way.
        facts: JSON that comes back with the checkpoint; `more`: tensors that do.
    """
    folder.mkdir(exist_ok=True)
    tensors = {f"objective.{name}": tensor for name, tensor in objective.state_dict().items()}
    tensors |= {f"sums.{name}": tensor for name, tensor in sums.items()} | more
    for place, parameter in _parameters(optimizer):
        for name, value in optimizer.state.get(parameter, {}).items():
            if value is not None:
                tensors[f"optimizer.{place}.{name}"] = torch.as_tensor(value)
    name = f"step-{step:08d}"
    data = write_tensors(folder / f"{name}.safetensors", tensors)
    about = {"step": step, "facts": facts}
    write_json(folder / f"{name}.json", about | {"sha256": _checksum(data, about)})
    for old in sorted(folder.glob("step-*.json"))[:-KEPT]:
        old.unlink()
        old.with_suffix(".safetensors").unlink(missing_ok=True)


def write_tensors(path: Path, tensors: dict[str, Tensor]) -> bytes:
    """Write a safetensors file whole; returns its bytes."""
    data = safetensors.torch.save({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()})
    write_whole(path, data)
    return data


def newest(folder: Path, warn) -> Checkpoint | None:
    """The newest checkpoint whose checksum fits; a torn one is named and the one before it used."""
    for index in sorted(folder.glob("step-*.json"), reverse=True):
        try:
            about = json.loads(index.read_text())
            data = index.with_suffix(".safetensors").read_bytes()
            if _checksum(data, about) == about["sha256"]:
                return Checkpoint(about["step"], safetensors.torch.load(data), about["facts"])
        except (OSError, ValueError, KeyError, TypeError):
            pass
        warn(f"{index.name}: the checkpoint is damaged; the one before it is used")
    return None


def restore(checkpoint: Checkpoint, objective: torch.nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Put weights and optimizer state back; returns the sums of the epoch that was under way."""
    objective.load_state_dict(under(checkpoint.tensors, "objective."), strict=True)
    for place, parameter in _parameters(optimizer):
        state = under(checkpoint.tensors, f"optimizer.{place}.")
        optimizer.state[parameter] = {
            name: tensor if name == "step" else tensor.to(parameter.device) for name, tensor in state.items()
        }
    return under(checkpoint.tensors, "sums.")


def under(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors whose names begin with `prefix`, without it."""
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _checksum(data: bytes, about: dict) -> str:
    """sha256 over the tensors and what is written beside them."""
    beside = json.dumps([about["step"], about["facts"]], sort_keys=True)
    return hashlib.sha256(data + beside.encode()).hexdigest()


def _parameters(optimizer: torch.optim.Optimizer):
    for number, group in enumerate(optimizer.param_groups):
        for index, parameter in enumerate(group["params"]):
            yield f"{number}.{index}", parameter
