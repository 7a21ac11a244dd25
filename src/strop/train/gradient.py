"""The gradient of one batch, in one go or in parts: more pictures than fit into memory, and exact on many devices."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from functools import reduce

import torch
from torch import Tensor

from ..data.chance import key
from ..data.load import Batch
from ..data.parts import Chunk, Cut
from ..launch import ALONE
from .objective import Loss


def batch_gradient(
    objective: torch.nn.Module,
    batch: Batch,
    cut: Cut,
    *,
    seed: int,
    step: int,
    precision: Callable[[], AbstractContextManager] = nullcontext,
    backward: Callable[[Tensor], None] = Tensor.backward,
    ranks=ALONE,
) -> Loss:
    """Leave d(total / weight) of the whole batch in `.grad`; returns its total, weight and parts.

    Gradients of the chunks' totals are added, and divided by the weight of the whole batch once. So the result is
    that of one pass up to rounding, whatever the sizes of the chunks and the weights of the pictures. (Batch norm
    sees a chunk at a time.) Chunks of a share are added in order, shares in pairs, see `PairwiseSum`, and then the
    sums of the processes; all of them end with the same gradient and the same loss.

    Args:
        objective: in training mode.
        cut: how the batch is cut, see `data.parts.Parts`. Dropout is a function of (seed, step, chunk).
        backward: differentiates a chunk's total / pictures of the batch; here a gradient scaler can come in.
        ranks: the processes that train together, see `launch.here`.
    """
    parameters = [parameter for parameter in objective.parameters() if parameter.requires_grad]
    device = parameters[0].device

    def differentiate(chunks: list[Chunk]) -> Loss:
        losses = []
        for chunk in chunks:
            torch.manual_seed(key(seed, "step", step, *([] if chunk.number is None else [chunk.number])))
            rows = slice(chunk.start, chunk.stop)
            with precision():
                loss = objective(batch.images[rows].to(device), batch.targets[rows].to(device))
            backward(loss.total / cut.pictures)
            losses.append(loss._replace(total=loss.total.detach()))
        return reduce(_add, losses) if losses else _nothing(objective, batch, device)

    for parameter in parameters:
        parameter.grad = None
    if ranks.size * len(cut.shares) == 1:
        loss = differentiate(cut.shares[0])
    else:
        loss = _add_shares(objective, parameters, map(differentiate, cut.shares), ranks, in_pairs=cut.in_pairs)
    weight = float(loss.weight)
    if weight != cut.pictures:
        torch._foreach_mul_(
            [p.grad for p in parameters if p.grad is not None], cut.pictures / weight if weight else 0.0
        )
    return loss


class PairwiseSum:
    """Adds lists of tensors in the order ((0 + 1) + (2 + 3)) + ...

    Any power of two of processes can keep this order, each with its own stretch of the lists, so that the sum is the
    same to the bit. At most log2 of the number of lists are held.
    """

    def __init__(self):
        self._open: list[tuple[int, list[Tensor]]] = []

    def add(self, tensors: list[Tensor]) -> None:
        """Takes the tensors over and may change them."""
        count = 1
        while self._open and self._open[-1][0] == count:
            tensors = _plus(self._open.pop()[1], tensors)
            count *= 2
        self._open.append((count, tensors))

    def total(self) -> list[Tensor]:
        return reduce(lambda right, left: _plus(left, right), [tensors for _, tensors in reversed(self._open)])


def _add_shares(
    objective: torch.nn.Module, parameters: list[torch.nn.Parameter], losses: Iterator[Loss], ranks, *, in_pairs: bool
) -> Loss:
    """Gradient and loss of each share by itself, added. Of the buffers those of the first are kept.

    Batch norm's statistics are such buffers. Every share begins with them as they were, as on many devices.
    """
    gradients, numbers = PairwiseSum(), PairwiseSum()
    buffers = list(objective.buffers())
    before = [buffer.clone() for buffer in buffers]
    first, kept = None, []
    for loss in losses:
        if first is None:
            first, kept = loss, [buffer.clone() for buffer in buffers]
        given = torch.tensor([parameter.grad is not None for parameter in parameters], dtype=torch.float64)
        numbers.add([given, _pack(loss)])
        gradients.add([torch.zeros_like(p) if p.grad is None else p.grad for p in parameters])
        for parameter in parameters:
            parameter.grad = None
        _write(buffers, before)
    _write(buffers, kept)
    sums, (given, packed) = gradients.total(), numbers.total()
    ranks.sum([*sums, given, packed], in_pairs=in_pairs)
    ranks.share(buffers)
    for parameter, gradient, count in zip(parameters, sums, given.tolist(), strict=True):
        parameter.grad = gradient if count else None
    return _unpack(packed, first)


@torch.no_grad()
def _plus(left: list[Tensor], right: list[Tensor]) -> list[Tensor]:
    torch._foreach_add_(left, right)
    return left


@torch.no_grad()
def _write(targets: list[Tensor], values: list[Tensor]) -> None:
    for target, value in zip(targets, values, strict=True):
        target.copy_(value)


def _add(a: Loss, b: Loss) -> Loss:
    parts = {name: part + b.parts[name] for name, part in a.parts.items()}
    return Loss(a.total + b.total, a.weight + b.weight, parts)


@torch.no_grad()
def _nothing(objective: torch.nn.Module, batch: Batch, device: torch.device) -> Loss:
    """The sums over no pictures: names and shapes as two blank ones give them, all zero."""
    blank = torch.zeros(2, *batch.images.shape[1:], dtype=batch.images.dtype, device=device)
    objective.mode(train=False)
    loss = objective(blank, torch.zeros(2, dtype=batch.targets.dtype, device=device))
    objective.mode(train=True)
    return Loss(torch.zeros_like(loss.total), 0, {name: torch.zeros_like(part) for name, part in loss.parts.items()})


def _pack(loss: Loss) -> Tensor:
    """All numbers of a loss in one float64 vector on the CPU; counts stay exact."""
    numbers = [loss.total, torch.as_tensor(loss.weight), *loss.parts.values()]
    return torch.cat([number.detach().reshape(-1).cpu().double() for number in numbers])


def _unpack(numbers: Tensor, like: Loss) -> Loss:
    total, weight, *pieces = numbers.split([1, 1, *(part.numel() for part in like.parts.values())])
    parts = {
        name: piece.view(part.shape).to(part.device, part.dtype)
        for (name, part), piece in zip(like.parts.items(), pieces, strict=True)
    }
    return Loss(total[0].to(like.total.device, like.total.dtype), float(weight), parts)
