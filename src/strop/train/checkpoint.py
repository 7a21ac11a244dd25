"""What resuming needs, as safetensors + JSON + sha256; written whole, the last few kept."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from ..models.tied import from_bytes, to_bytes
from ..writing import write_json, write_whole

KEPT = 2


@dataclass
class Checkpoint:
    """A point in training: nothing else is needed to go on, because the rest is a function of seed and step.

    Attributes:
        step: updates done.
        tensors: "objective.*", "optimizer.<group>.<index>.<name>" ("number...." where it is no tensor),
            "optimizer.group<group>.<name>", and "sums.<part>".
        facts: anything JSON that the caller wants back (best epoch so far, ...).
    """

    step: int
    tensors: dict[str, Tensor]
    facts: dict


class Snapshot(NamedTuple):
    """A checkpoint as bytes: training may go on while they are written."""

    step: int
    data: bytes
    facts: dict


def take(
    step: int,
    objective: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    sums: dict[str, Tensor],
    facts: dict,
    *,
    more: dict[str, Tensor],
) -> Snapshot:
    """Copy what a checkpoint holds.

    Args:
        sums: the named parts of the epoch under way.
        facts: JSON that comes back with the checkpoint; `more`: tensors that do.
    """
    tensors = {f"objective.{name}": tensor for name, tensor in objective.state_dict().items()}
    tensors |= {f"sums.{name}": tensor for name, tensor in sums.items()} | more
    for place, state, kept, _ in _states(optimizer):
        for name in kept:
            value = state[name]
            if isinstance(value, Tensor):
                tensors[f"optimizer.{place}.{name}"] = value
            elif isinstance(value, bool | int | float):  # 64 bits, and a number again when it comes back
                kind = torch.float64 if isinstance(value, float) else None
                tensors[f"number.{place}.{name}"] = torch.tensor(value, dtype=kind)
    # The JSON is made now: what the caller changes meanwhile must not get into it.
    return Snapshot(step, to_bytes(tensors), json.loads(json.dumps(facts, allow_nan=False)))


def write(folder: Path, snapshot: Snapshot, *, keep: int = KEPT, also: int | None = None) -> None:
    """Write one checkpoint; older ones than the last `keep` are removed only after it is whole.

    Args:
        also: step of one that stays, however old it is.
    Raises:
        OSError: the disk is full or refuses; the checkpoints before stay.
    """
    folder.mkdir(exist_ok=True)
    index = _index(folder, snapshot.step)
    write_whole(index.with_suffix(".safetensors"), snapshot.data)
    about = {"step": snapshot.step, "facts": snapshot.facts}
    write_json(index, about | {"sha256": _checksum(snapshot.data, about)})
    for old in _indices(folder)[keep:]:
        if also is None or old != _index(folder, also):
            _remove(old)


def save(folder: Path, *what, keep: int = KEPT, **more) -> None:
    """`take` and `write` in one."""
    write(folder, take(*what, **more), keep=keep)


def write_tensors(path: Path, tensors: dict[str, Tensor]) -> None:
    """Write a safetensors file whole."""
    write_whole(path, to_bytes(tensors))


def read_tensors(path: Path) -> dict[str, Tensor]:
    """What `write_tensors` wrote."""
    return from_bytes(path.read_bytes())


def newest(folder: Path, warn, *, every: int = 1) -> Checkpoint | None:
    """The newest checkpoint whose checksum fits; a torn one is named and the one before it used.

    Args:
        every: only checkpoints at multiples of this many steps count.
    """
    for index in _indices(folder):
        if _step(index) % every:
            continue
        try:
            about = json.loads(index.read_text())
            data = index.with_suffix(".safetensors").read_bytes()
            if _checksum(data, about) == about["sha256"]:
                return Checkpoint(about["step"], from_bytes(data), about["facts"])
        except (OSError, ValueError, KeyError, TypeError):
            pass
        warn(f"{index.name}: the checkpoint is damaged; the one before it is used")
    return None


def restore(checkpoint: Checkpoint, objective: torch.nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Put weights and optimizer state back; returns the sums of the epoch that was under way."""
    objective.load_state_dict(under(checkpoint.tensors, "objective."), strict=True)
    for place, state, kept, like in _states(optimizer):
        for name in kept:
            del state[name]
        tensors = under(checkpoint.tensors, f"optimizer.{place}.")
        state.update({name: tensor if name == "step" else _laid_out(tensor, like) for name, tensor in tensors.items()})
        numbers = under(checkpoint.tensors, f"number.{place}.")
        state.update({name: number.item() for name, number in numbers.items()})
    return under(checkpoint.tensors, "sums.")


def drop_after(folder: Path, step: int) -> None:
    """Remove the checkpoints of later steps, the newest first."""
    for index in _indices(folder):
        if _step(index) > step:
            _remove(index)


def under(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors whose names begin with `prefix`, without it."""
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _index(folder: Path, step: int) -> Path:
    return folder / f"step-{step:08d}.json"


def _indices(folder: Path) -> list[Path]:
    """The JSON files of checkpoints, the newest first."""
    return sorted((path for path in folder.glob("step-*.json") if path.stem[5:].isdecimal()), key=_step, reverse=True)


def _step(index: Path) -> int:
    return int(index.stem[5:])


def _remove(index: Path) -> None:
    """The JSON goes first: tensors without it are no checkpoint."""
    index.unlink()
    index.with_suffix(".safetensors").unlink(missing_ok=True)


def _checksum(data: bytes, about: dict) -> str:
    """sha256 over the tensors and what is written beside them."""
    total = hashlib.sha256(data)
    total.update(json.dumps([about["step"], about["facts"]], sort_keys=True).encode())
    return total.hexdigest()


def _states(optimizer: torch.optim.Optimizer):
    """(place, where it is kept, names, parameter) of what an optimizer remembers: of each parameter all, of each group
    what it added to its options itself, such as a step."""
    for number, group in enumerate(optimizer.param_groups):
        for index, parameter in enumerate(group["params"]):
            state = optimizer.state[parameter]
            yield f"{number}.{index}", state, list(state), parameter
        added = [name for name in group if name not in {*optimizer.defaults, "params", "initial_lr"}]
        yield f"group{number}", group, added, group["params"][0]


def _laid_out(tensor: Tensor, parameter: Tensor) -> Tensor:
    """On the parameter's device, and in its memory format: in another one sums over it would round otherwise."""
    if tensor.shape != parameter.shape:
        return tensor.to(parameter.device)
    return torch.empty_like(parameter, dtype=tensor.dtype, requires_grad=False).copy_(tensor)
