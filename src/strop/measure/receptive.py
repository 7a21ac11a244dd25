"""How much of the picture one position of a feature map sees, followed from operator to operator."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from torch.utils._pytree import tree_leaves
from torch.utils.weak import WeakTensorKeyDictionary

ALL = "all"
MAX_POOLS = ("max_pool2d_with_indices", "max_pool2d")
MIXING = ("bmm", "baddbmm", "index", "index_select", "gather", "upsample_bilinear2d", "upsample_nearest2d")


@dataclass(frozen=True)
class Field:
    """The receptive field of one position.

    Attributes:
        size: height and width in pixels of the picture, padding included, so it may exceed the picture.
        jump: pixels between the fields of neighbouring positions.
        dims: the dimensions, counted from the last (-1), along which positions lie.
    """

    size: tuple[int, int]
    jump: tuple[float, float]
    dims: frozenset[int]


class Fields:
    """Receptive fields of all tensors, as operators make them.

    A convolution or pooling of kernel k, dilation d and stride s turns (size r, jump j) into
    (r + (k - 1) * d * j, j * s); where branches meet, the largest counts. Pooling over everything, and a linear layer
    on a flattened map, see `ALL`. Attention and whatever else mixes positions gives None: no size can be named.

    Source: Araujo et al., "Computing Receptive Fields of Convolutional Neural Networks", Distill 2019,
    doi:10.23915/distill.00021. As there, gates from globally pooled features (squeeze-and-excitation) are left out.
    """

    def __init__(self):
        self._found = WeakTensorKeyDictionary()

    def start(self, picture: Tensor) -> None:
        """The picture's own pixels see themselves."""
        self._found[picture] = Field((1, 1), (1.0, 1.0), frozenset({-2, -1}))

    def of(self, tensor: Tensor) -> Field | str | None:
        return self._found.get(tensor)

    def after(self, func: Any, args: tuple, kwargs: dict, out: Any) -> None:
        """Note what the results of one operator see."""
        given = [t for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor) and t in self._found]
        if not given:
            return
        name = func._overloadpacket.__name__.removesuffix("_")
        for result in tree_leaves(out):
            if isinstance(result, Tensor):
                self._found[result] = self._rule(name, args, given, result)

    def _rule(self, name: str, args: tuple, given: list[Tensor], result: Tensor) -> Field | str | None:
        old = self._merge(given)
        if not isinstance(old, Field):
            return old
        first = given[0]
        if name == "convolution":
            stride, dilation, transposed = args[3], args[5], args[6]
            return None if transposed else _window(old, args[1].shape[2:], stride, dilation)
        if name in MAX_POOLS:
            return _window(old, args[1], args[2] if len(args) > 2 else args[1], args[4] if len(args) > 4 else 1)
        if name == "avg_pool2d":
            return _window(old, args[1], (args[2] if len(args) > 2 else None) or args[1], 1)
        if name in ("_adaptive_avg_pool2d", "adaptive_max_pool2d"):
            return old if result.shape == first.shape else ALL
        if name in ("mean", "sum", "amax"):
            gone = {dim if dim < 0 else dim - first.ndim for dim in _pair_or_list(args[1])} if len(args) > 1 else set()
            return ALL if not gone or old.dims & gone else old
        if name in ("mm", "addmm", "linear"):
            return ALL if -1 in old.dims else Field(old.size, old.jump, frozenset(range(-result.ndim, -1)))
        if name in MIXING:
            return None
        if name == "slice":
            return _sliced(args, first, old)
        return _moved(name, args, first, result, old)

    def _merge(self, given: list[Tensor]) -> Field | str | None:
        """The largest of several fields; what is pooled and then spread out again, a gate, does not count."""
        found = [self._found[tensor] for tensor in given]
        if any(field is None for field in found):
            return None
        local = [field for field in found if isinstance(field, Field)]
        largest = max(tensor.numel() for tensor in given)
        if not local or any(self._found[tensor] == ALL and tensor.numel() == largest for tensor in given):
            return ALL
        sizes, jumps = zip(*((field.size, field.jump) for field in local), strict=True)
        dims = frozenset().union(*(field.dims for field in local))
        return Field(tuple(map(max, zip(*sizes, strict=True))), tuple(map(max, zip(*jumps, strict=True))), dims)


def _window(old: Field, kernel: Any, stride: Any, dilation: Any) -> Field | None:
    """After a kernel that slides over the last two dimensions."""
    if not old.dims >= {-2, -1} or len(_pair_or_list(kernel)) > 2:
        return None
    kernel, stride, dilation = map(_pair, (kernel, stride, dilation))
    size = tuple(int(r + (k - 1) * d * j) for r, k, d, j in zip(old.size, kernel, dilation, old.jump, strict=True))
    jump = tuple(j * s for j, s in zip(old.jump, stride, strict=True))
    return Field(size, jump, frozenset({-2, -1}))


def _pair_or_list(value: Any) -> list:
    return list(value) if isinstance(value, list | tuple) or hasattr(value, "__iter__") else [value]


def _pair(value: Any) -> list:
    values = _pair_or_list(value)
    return values if len(values) == 2 else values * 2


def _sliced(args: tuple, first: Tensor, old: Field) -> Field | None:
    """Every n-th position from the first on, as shortcuts without weights take them, lies n times as far apart."""
    dim, start, _, step = (*args[1:], *(0, 0, None, 1)[len(args) - 1 :])
    dim -= first.ndim if dim >= 0 else 0
    if step == 1 or dim not in old.dims:
        return old
    if start or dim < -2:
        return None
    jump = (old.jump[0] * (step if dim == -2 else 1), old.jump[1] * (step if dim == -1 else 1))
    return Field(old.size, jump, old.dims)


def _moved(name: str, args: tuple, first: Tensor, result: Tensor, old: Field) -> Field | None:
    """Where the positions lie after an operator that keeps each element's value apart from the others'."""
    n = first.ndim
    if name == "permute":
        order = [dim - n if dim >= 0 else dim for dim in args[1]]
        return Field(old.size, old.jump, frozenset(place - n for place, dim in enumerate(order) if dim in old.dims))
    if name in ("t", "transpose"):
        a, b = (dim - n if dim >= 0 else dim for dim in (args[1:3] if name == "transpose" else (0, 1)))
        swap = {a: b, b: a}
        return Field(old.size, old.jump, frozenset(swap.get(dim, dim) for dim in old.dims))
    if first.shape == result.shape or result.numel() != first.numel():
        return old
    return _viewed(tuple(first.shape), tuple(result.shape), old)


def _viewed(before: tuple[int, ...], after: tuple[int, ...], old: Field) -> Field | None:
    """After a view: dimensions that are split stay positions in all parts; batch may join them, channels may not."""
    dims: set[int] = set()
    for left, right in _matched(before, after):
        marked = {i for i in left if i - len(before) in old.dims and before[i] > 1}
        plain = {i for i in left if i not in marked and before[i] > 1 and i > 0}
        if marked and plain:  # positions and channels in one: flattened, or reordered in a way that is not followed
            return Field(old.size, old.jump, frozenset({-1})) if len(after) == 2 else None
        if marked:
            dims |= {i - len(after) for i in right}
    return Field(old.size, old.jump, frozenset(dims))


def _matched(before: tuple[int, ...], after: tuple[int, ...]) -> list[tuple[list[int], list[int]]]:
    """The smallest runs of dimensions with equal products, which a view can turn into each other.

    >>> _matched((2, 6, 5), (2, 3, 2, 5))
    [([0], [0]), ([1], [1, 2]), ([2], [3])]
    """
    found, i, j = [], 0, 0
    while i < len(before) and j < len(after):
        left, right = [i], [j]
        i, j = i + 1, j + 1
        while (a := math.prod(before[k] for k in left)) != (b := math.prod(after[k] for k in right)):
            if a < b:
                left.append(i)
                i += 1
            else:
                right.append(j)
                j += 1
        found.append((left, right))
    if found:
        found[-1][0].extend(range(i, len(before)))
        found[-1][1].extend(range(j, len(after)))
    return found
