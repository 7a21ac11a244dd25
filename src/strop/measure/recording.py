"""Record what a network does to one picture: every operation in order, what it reads, writes and computes.

Modules alone do not show the additions of shortcuts, concatenations and shuffled channels; the operators below them do.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

from .complexity import followed
from .receptive import Field, Fields

KINDS = {
    "convolution": "convolution",
    "linear": "linear mm addmm",
    "matmul": "bmm baddbmm _scaled_dot_product_flash_attention_for_cpu _scaled_dot_product_flash_attention "
    "_scaled_dot_product_efficient_attention _scaled_dot_product_attention_math",
    "normalisation": "native_batch_norm native_layer_norm native_group_norm batch_norm_no_update",
    "pooling": "max_pool2d_with_indices avg_pool2d _adaptive_avg_pool2d adaptive_max_pool2d mean",
    "activation": "relu gelu silu hardswish hardsigmoid sigmoid tanh leaky_relu elu hardtanh clamp clamp_min mish "
    "softplus prelu _prelu_kernel _softmax _safe_softmax",
    "addition": "add sub rsub",
    "multiplication": "mul div",
    "concatenation": "cat stack",
    "copy": "clone copy _to_copy roll constant_pad_nd index flip repeat native_channel_shuffle channel_shuffle",
}
KIND_OF = {name: kind for kind, names in KINDS.items() for name in names.split()}
UNTOUCHED = {"empty", "empty_like", "new_empty", "new_empty_strided"}


@dataclass(frozen=True)
class Operation:
    """One operator that ran. Views are none: they move no byte.

    Attributes:
        name: of the operator, without the underscore of those that work in place.
        kind: a key of `KINDS`, or "other".
        module: path of the innermost module in whose forward it ran; "" for the network itself.
        macs: multiply-accumulates.
        read, written: bytes of activations; weights: bytes of parameters and buffers that it reads.
        made: bytes of new activations; 0 where it works in place.
        inputs, outputs: numbers of the values that it reads and makes; a changed tensor is a new value.
        shape: of its output.
        layer: what a convolution or linear layer is: {"kernel", "stride", "groups", "inputs", "outputs",
            "positions": (read, written)}; a linear layer is a 1x1 convolution of its positions. Else None.
        field: receptive field of its output, see `receptive.Fields`.
    """

    name: str
    kind: str
    module: str
    macs: int
    read: int
    written: int
    weights: int
    made: int
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    shape: tuple[int, ...]
    layer: dict[str, Any] | None
    field: Field | str | None

    @property
    def memory_access(self) -> int:
        """Bytes read and written."""
        return self.read + self.written + self.weights

    @property
    def is_depthwise(self) -> bool:
        return self.layer is not None and 1 < self.layer["groups"] == self.layer["inputs"]


@dataclass(frozen=True)
class Call:
    """One call of a module, with the shapes of its first tensor argument and of its first output tensor."""

    module: str
    input_shape: tuple[int, ...]
    output_shape: tuple[int, ...]
    input: int | None
    output: int | None
    field: Field | str | None


@dataclass
class Recording:
    """What one picture did to a network.

    Attributes:
        operations: in the order in which they ran.
        calls: of modules, in the order in which they returned.
        peak: most bytes of activations that were alive at a time.
        picture: number of the value that is the picture.
    """

    operations: list[Operation] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    peak: int = 0
    picture: int = 0


def record(model: nn.Module, input_size: tuple[int, int, int]) -> Recording:
    """Send one picture through a copy of `model` without storage, in eval mode; the model stays as it is.

    Args:
        input_size: channels, height and width.
    Raises:
        RuntimeError: the model's own error where it refuses such a picture.

    Example:
        >>> [operation.name for operation in record(nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU()), (3, 8, 8)).operations]
        ['convolution', 'relu']
    """
    return followed(model, lambda double, place: _record(double, torch.zeros(1, *input_size, device=place)))


def _record(model: nn.Module, picture: Tensor) -> Recording:
    recorder = _Recorder(model, picture)
    with _watched(model, recorder), _plain_attention(), torch.no_grad(), recorder:
        model(picture)
    return recorder.recording


@contextmanager
def _plain_attention() -> Iterator[None]:
    """Attention as separate products: its fused inference path is one operator that tells nothing."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


@contextmanager
def _watched(model: nn.Module, recorder: _Recorder) -> Iterator[None]:
    hooks = []
    for name, module in model.named_modules():
        hooks.append(module.register_forward_pre_hook(lambda *_, name=name: recorder.enter(name)))
        hooks.append(module.register_forward_hook(lambda _, given, out, name=name: recorder.leave(name, given, out)))
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


class _Recorder(TorchDispatchMode):
    def __init__(self, model: nn.Module, picture: Tensor):
        super().__init__()
        self.recording, self.fields, self.path = Recording(), Fields(), []
        self.own = {_storage(t) for t in [*model.parameters(), *model.buffers()]}
        self.numbers: dict[int, int] = {}  # storage -> the value in it now
        self.owners: dict[int, int] = {}  # storage -> living tensors that look at it
        self.count = self.alive = 0
        self.recording.picture = self._hold(picture)
        self.fields.start(picture)

    def enter(self, name: str) -> None:
        self.path.append(name)

    def leave(self, name: str, given: tuple, out: Any) -> None:
        self.path.pop()
        first, last = _tensors(given)[:1], _tensors(out)[:1]
        shapes = [tuple(tensors[0].shape) if tensors else () for tensors in (first, last)]
        values = [self.numbers.get(_storage(tensors[0])) if tensors else None for tensors in (first, last)]
        field = self.fields.of(last[0]) if last else None
        self.recording.calls.append(Call(name, *shapes, *values, field))

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        kwargs = kwargs or {}
        tensors = _tensors((args, kwargs))
        read = [(t, self.numbers.get(_storage(t))) for t in tensors]
        out = func(*args, **kwargs)
        self.fields.after(func, args, kwargs, out)
        outputs = _tensors(out)
        places = {_storage(t) for t in tensors}
        in_place = func._schema.is_mutable
        is_view = not in_place and bool(outputs) and all(_storage(t) in places for t in outputs)
        for tensor in outputs:
            self._hold(tensor, changed=in_place)
        name = func._overloadpacket.__name__.removesuffix("_")
        if not is_view and name not in UNTOUCHED and outputs:
            self._note(func, name, args, kwargs, read, out, outputs, in_place)
        return out

    def _note(self, func, name, args, kwargs, read, out, outputs, in_place: bool) -> None:
        counter = flop_registry.get(func._overloadpacket)
        results = outputs if isinstance(out, list) else outputs[:1]  # not the statistics and indices beside them
        written = sum(map(_bytes, results))
        self.recording.operations.append(
            Operation(
                name=name,
                kind=KIND_OF.get(name, "other"),
                module=self.path[-1] if self.path else "",
                macs=counter(*args, **kwargs, out_val=out) // 2 if counter else 0,
                read=sum(_bytes(t) for t, _ in read if _storage(t) not in self.own),
                written=written,
                weights=sum(_bytes(t) for t, _ in read if _storage(t) in self.own),
                made=0 if in_place else written,
                inputs=tuple(dict.fromkeys(number for _, number in read if number is not None)),
                outputs=tuple(self.numbers[_storage(t)] for t in results),
                shape=tuple(outputs[0].shape),
                layer=_describe_layer(name, args, outputs[0]),
                field=self.fields.of(outputs[0]),
            )
        )

    def _hold(self, tensor: Tensor, *, changed: bool = False) -> int | None:
        """Give the storage of a new tensor a number, and watch when the last tensor on it goes."""
        place = _storage(tensor)
        if place in self.own:
            return None
        if place not in self.numbers or changed:
            self.count += 1
            self.numbers[place] = self.count
        if not changed:
            if place not in self.owners:
                self.alive += tensor.untyped_storage().nbytes()
                self.recording.peak = max(self.recording.peak, self.alive)
            self.owners[place] = self.owners.get(place, 0) + 1
            weakref.finalize(tensor, self._release, place, tensor.untyped_storage().nbytes())
        return self.numbers[place]

    def _release(self, place: int, size: int) -> None:
        self.owners[place] -= 1
        if not self.owners[place]:
            del self.owners[place], self.numbers[place]
            self.alive -= size


def _tensors(values: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(values) if isinstance(leaf, Tensor)]


def _storage(tensor: Tensor) -> int:
    return tensor.untyped_storage()._cdata


def _bytes(tensor: Tensor) -> int:
    """Of the elements, each once: an expanded tensor reads no more than it has."""
    return min(tensor.numel() * tensor.element_size(), tensor.untyped_storage().nbytes())


def _describe_layer(name: str, args: tuple, output: Tensor) -> dict[str, Any] | None:
    if KIND_OF.get(name) == "linear":
        pictures = args[1] if name == "addmm" else args[0]
        positions = pictures.shape[:-1].numel()
        kernel, stride, groups, width, counts = (1, 1), (1, 1), 1, pictures.shape[-1], (positions, positions)
        outputs = output.shape[-1]
    elif name == "convolution":
        pictures, kernel, stride, groups = args[0], tuple(args[1].shape[2:]), tuple(args[3]), args[8]
        width, outputs = pictures.shape[1], output.shape[1]
        counts = (pictures.shape[2:].numel(), output.shape[2:].numel())
    else:
        return None
    return {
        "kernel": kernel, "stride": stride, "groups": groups, "inputs": width, "outputs": outputs, "positions": counts
    }  # fmt: skip
