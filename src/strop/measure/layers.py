"""The layer table: what each layer, or each block, holds, computes, moves and sees."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .complexity import followed
from .receptive import Field
from .recording import Call, Operation, Recording

MEMORY_ACCESS = "float32 bytes of activations read and written and of weights read, one picture"
CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)


@dataclass(frozen=True)
class Layer:
    """One row: a module, or what a network does outside of its modules.

    memory access of an operator = (elements read + elements written + weights read) * bytes an element; for a 1x1
    convolution without bias HW * (c_in + c_out) + c_in * c_out elements. Views are free.

    Source: Ma et al., "ShuffleNet V2", ECCV 2018, arXiv:1807.11164, section 2 (there MAC, for memory access cost).
    Unlike the paper: normalisation, activations, additions and copies are counted as well.

    Attributes:
        name: path of the module; "" for the network's own operations.
        kind: class of the module.
        output: shape of its last output without the batch, () where it gives no tensor.
        activation_bytes: of all new tensors made in it.
        receptive_field: [height, width] of its output in pixels; "all"; or None where no size can be named.
        layers: how many rows were folded into this one.
    """

    name: str
    kind: str
    output: tuple[int, ...]
    parameters: int
    macs: int
    memory_access_bytes: int
    activation_bytes: int
    receptive_field: list[int] | str | None
    layers: int = 1

    def describe(self) -> dict:
        """As JSON values."""
        return dataclasses.asdict(self) | {"output": list(self.output)}


def layers_of(model: nn.Module, recording: Recording) -> list[Layer]:
    """Every module that computes something, in the order in which they first did.

    The sums over all rows are those of the whole network: parameters of modules that ran only as a part of their
    parent (the output projection of attention, say) are the parent's.
    """
    kinds = {name: type(module).__name__ for name, module in model.named_modules()}
    order = list(dict.fromkeys(op.module for op in recording.operations))
    owners = {name: name if name in order else _nearest(name, order) for name in kinds}
    if any(owners[path.rpartition(".")[0]] == "" for path, _ in model.named_parameters()) and "" not in order:
        order.append("")  # parameters of modules that did not run
    return [_layer(name, kinds[name], recording, _parameters(model, owners, name)) for name in order]


def fold(layers: Sequence[Layer], recording: Recording, model: nn.Module, names: Iterable[str]) -> list[Layer]:
    """One row for each of the modules `names`, with everything inside it; rows outside all of them stay."""
    names = set(names)
    kinds = {name: type(module).__name__ for name, module in model.named_modules()}
    groups: dict[str, list[Layer]] = {}
    for layer in layers:
        groups.setdefault(outermost(layer.name, names), []).append(layer)
    return [_sum(name, kinds[name], members, recording) for name, members in groups.items()]


def recount(layers: Sequence[Layer], macs: Mapping[str, int]) -> list[Layer]:
    """The same rows with another counter's multiply-accumulates, whose modules may have no row of their own."""
    names = [layer.name for layer in layers]
    sums: dict[str, int] = dict.fromkeys(names, 0)
    for name, count in macs.items():
        sums[name if name in sums else _nearest(name, names)] += count
    return [dataclasses.replace(layer, macs=sums[layer.name]) for layer in layers]


def blocks(model: nn.Module) -> list[str]:
    """The modules that people call blocks: what is left when the network and its stages are opened.

    Opened are the network, sequences of at least two layers with weights, and what holds a sequence of at least two
    blocks. A block is any module with at least two layers with weights.
    """
    found: list[str] = []

    def open_up(module: nn.Module, path: str) -> None:
        for name, child in module.named_children():
            inner = f"{path}.{name}" if path else name
            if _is_stage(child):
                open_up(child, inner)
            else:
                found.append(inner)

    open_up(model, "")
    return found


def at_depth(model: nn.Module, depth: int) -> list[str]:
    """The modules whose path has `depth` names."""
    return [name for name, _ in model.named_modules() if name.count(".") == depth - 1 and name]


def _is_stage(module: nn.Module) -> bool:
    if isinstance(module, CONTAINERS) and _weighted(module) >= 2:
        return True
    inside = (child for child in module.modules() if isinstance(child, CONTAINERS))
    return any(sum(_is_block(child) for child in sequence.children()) >= 2 for sequence in inside)


def _is_block(module: nn.Module) -> bool:
    return not isinstance(module, CONTAINERS) and _weighted(module) >= 2


def _weighted(module: nn.Module) -> int:
    """Leaves with a matrix or a kernel."""
    return sum(any(parameter.ndim > 1 for parameter in leaf.parameters(recurse=False)) for leaf in module.modules())


def _nearest(name: str, names: Sequence[str]) -> str:
    """The innermost of `names` that holds the module; the network itself where none does."""
    while name:
        name = name.rpartition(".")[0]
        if name in names:
            return name
    return ""


def outermost(name: str, names: set[str]) -> str:
    """The outermost of `names` that the module is or lies in; the module itself where none is."""
    parts = name.split(".")
    heads = (".".join(parts[:length]) for length in range(1, len(parts) + 1))
    return next((head for head in heads if head in names), name)


def _parameters(model: nn.Module, owners: dict[str, str], name: str) -> int:
    return sum(
        parameter.numel() for path, parameter in model.named_parameters() if owners[path.rpartition(".")[0]] == name
    )


def _layer(name: str, kind: str, recording: Recording, parameters: int) -> Layer:
    operations = [op for op in recording.operations if op.module == name]
    shape, field = _outcome(name, recording)
    return Layer(
        name=name,
        kind=kind,
        output=shape,
        parameters=parameters,
        macs=sum(op.macs for op in operations),
        memory_access_bytes=sum(op.memory_access for op in operations),
        activation_bytes=sum(op.made for op in operations),
        receptive_field=field,
    )


def _outcome(name: str, recording: Recording) -> tuple[tuple[int, ...], list[int] | str | None]:
    """Shape and receptive field of what a module gives; for the network itself, of its last own operation."""
    last: Call | Operation | None
    if name:
        last = next((call for call in reversed(recording.calls) if call.module == name), None)
        shape = last.output_shape if last else ()
    else:
        last = next((op for op in reversed(recording.operations) if op.module == ""), None)
        shape = last.shape if last else ()
    return tuple(shape[1:]), _describe_field(last.field if last else None)


def _describe_field(field: Field | str | None) -> list[int] | str | None:
    return list(field.size) if isinstance(field, Field) else field


def _sum(name: str, kind: str, members: Sequence[Layer], recording: Recording) -> Layer:
    shape, field = _outcome(name, recording)

    def total(attribute: str) -> int:
        return sum(getattr(member, attribute) for member in members)

    return Layer(
        name, kind, shape, total("parameters"), total("macs"), total("memory_access_bytes"),
        total("activation_bytes"), field, len(members),
    )  # fmt: skip


def memory(
    model: nn.Module, recording: Recording, input_size: tuple[int, int, int], batch: int, states: int = 1
) -> dict:
    """Memory that inference and training need at least, in bytes; workspaces of libraries come on top.

    inference = weights + batch * most activations alive at a time;
    training = weights * (2 + states) + batch * activations kept for the backward pass.

    Args:
        batch: pictures at a time.
        states: tensors that the optimizer keeps for each weight: 1 for SGD with momentum, 2 for Adam.
    """
    weights = sum(t.numel() * t.element_size() for t in [*model.parameters(), *model.buffers()])
    kept = kept_for_backward(model, input_size)
    return {
        "batch_size": batch,
        "weights_bytes": weights,
        "activations_alive_bytes": batch * recording.peak,
        "activations_kept_bytes": batch * kept,
        "inference_bytes": weights + batch * recording.peak,
        "training_bytes": weights * (2 + states) + batch * kept,
        "optimizer_states": states,
    }


def kept_for_backward(model: nn.Module, input_size: tuple[int, int, int]) -> int:
    """Bytes of activations a picture that autograd keeps, in training mode, each tensor once."""
    return followed(model, lambda double, device: _kept(double, torch.zeros(2, *input_size, device=device)))


def _kept(model: nn.Module, pictures: Tensor) -> int:
    own = {t.untyped_storage()._cdata for t in [*model.parameters(), *model.buffers()]}
    kept: dict[int, Tensor] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()._cdata
        if storage not in own:
            kept[storage] = tensor
        return tensor

    for parameter in model.train().parameters():
        parameter.requires_grad_(parameter.is_floating_point())
    with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        out = model(pictures)
    size = sum(tensor.untyped_storage().nbytes() for tensor in kept.values())
    del out
    return size // len(pictures)
