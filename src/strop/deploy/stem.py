"""The first convolution of a quantized network, made fast: the same sums over blocks of pixels."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from onnx import GraphProto, NodeProto, TensorProto, helper, numpy_helper

STRIDE = 2
PAIR = 2  # outputs beside each other that one place of the new kernel gives
WIDE = STRIDE * PAIR
MOST_CHANNELS = 3
PREFIX = "strop_stem_"
ELEMENTWISE = ("Relu", "Clip", "LeakyRelu")  # may stand between the convolution and its rounding
TO_LAST, TO_FIRST = [0, 2, 3, 1], [0, 3, 1, 2]  # channels last and channels first; the runtime drops what cancels out


class Wires(NamedTuple):
    """Who makes and who takes what in a graph, by name."""

    constants: dict[str, TensorProto]
    makers: dict[str, NodeProto]
    users: dict[str, list[NodeProto]]

    @classmethod
    def of(cls, graph: GraphProto) -> Wires:
        users: dict[str, list[NodeProto]] = {}
        for node in graph.node:
            for name in node.input:
                users.setdefault(name, []).append(node)
        makers = {output: node for node in graph.node for output in node.output}
        return cls({tensor.name: tensor for tensor in graph.initializer}, makers, users)


class Stem(NamedTuple):
    """The first convolution of a graph with its pictures' size, and the nodes it stands between.

    Attributes:
        read: the DequantizeLinear of the rounded pictures.
        rounding: the QuantizeLinear of what comes out.
        wires: of the graph as it is.
    """

    channels: int
    size: int
    read: NodeProto
    conv: NodeProto
    rounding: NodeProto
    wires: Wires


def put_in_blocks(graph: GraphProto) -> bool:
    """Let the first convolution of a quantized graph see blocks of 2 x 4 pixels as channels; False where it can't.

    A kernel that strides by 2 over 1 or 3 channels is slow in 8 bits: its numbers are gathered pixel by pixel. Of
    y[o, i, j] = sum w[o, c, a, b] x[c, 2 i + a - p, 2 j + b - p], pixel column 4 v + q is channel q of block v, and
    output column 2 u + e is output e of block u. So w becomes a kernel over blocks, 8 C channels in and 2 O out, filled
    up with zeros. The sums are the same whole numbers, so the file answers with the same bits.

    Source: Ying et al., "Image Classification at Supercomputer Scale", arXiv:1811.06992 ("space-to-depth").
    Unlike it: after training, with rounded numbers, and two outputs at once.

    Args:
        graph: QDQ, with one input (B, C, S, S) of written C and S; changed in place. C <= 3, S a multiple of 4, and
            the convolution halves the sides.
    """
    stem = find_stem(graph)
    if stem is None:
        return False
    weights = numpy_helper.to_array(stem.wires.constants[stem.wires.makers[stem.conv.input[1]].input[0]])
    top, left, *_ = _attributes(stem.conv)["pads"]
    kernel, pads = in_blocks(weights, top, left)
    _put_weights(graph, stem, kernel)
    _set(stem.conv, pads=pads, strides=[1, 1], kernel_shape=list(kernel.shape[2:]))
    rows, columns, wide = stem.size // STRIDE, stem.size // WIDE, STRIDE * WIDE * stem.channels
    shapes = {
        "blocks": [-1, rows, STRIDE, columns, WIDE * stem.channels],
        "channels": [-1, rows, columns, wide],
        "apart": [-1, rows, rows, len(weights)],
    }
    graph.initializer.extend(numpy_helper.from_array(np.array(shape), PREFIX + name) for name, shape in shapes.items())
    picture, answer = stem.read.input[0], stem.rounding.output[0]
    stem.read.input[0], stem.rounding.output[0] = f"{PREFIX}picture", f"{PREFIX}pairs"
    before = _chain(picture, stem.read.input[0], [TO_LAST, "blocks", [0, 1, 3, 2, 4], "channels", TO_FIRST])
    after = _chain(stem.rounding.output[0], answer, [TO_LAST, "apart", TO_FIRST])
    _insert(graph, before, at=list(graph.node).index(stem.read))
    _insert(graph, after, at=list(graph.node).index(stem.rounding) + 1)
    del graph.value_info[:]  # the shapes that were
    return True


def find_stem(graph: GraphProto) -> Stem | None:
    """The first convolution, if `put_in_blocks` can do something for it."""
    wires = Wires.of(graph)

    def follow(node: NodeProto | None, *kinds: str) -> NodeProto | None:
        """The only node that takes what this one gives, if it is of such a kind."""
        found = wires.users.get(node.output[0], []) if node else []
        return found[0] if len(found) == 1 and found[0].op_type in kinds else None

    [first, *more] = wires.users.get(graph.input[0].name, [None])
    if more or first is None or first.op_type != "QuantizeLinear":
        return None
    read = follow(first, "DequantizeLinear")
    conv = follow(read, "Conv")
    last = conv
    while between := follow(last, *ELEMENTWISE):
        last = between
    rounding = follow(last, "QuantizeLinear")
    _, channels, size, _ = (size.dim_value for size in graph.input[0].type.tensor_type.shape.dim)
    if rounding is None or not channels or channels > MOST_CHANNELS or not size or size % WIDE:
        return None
    if not (_halves(conv, size) and _is_rounded(conv, wires)):
        return None
    return Stem(channels, size, read, conv, rounding, wires)


def _halves(conv: NodeProto, size: int) -> bool:
    about = _attributes(conv)
    kernel, (top, left, bottom, right) = about["kernel_shape"], about["pads"]
    sides = [(size + top + bottom - kernel[0]) // STRIDE + 1, (size + left + right - kernel[1]) // STRIDE + 1]
    plain = about["group"] == 1 and about["dilations"] == [1, 1] and about["auto_pad"] == b"NOTSET"
    return plain and about["strides"] == [STRIDE, STRIDE] and min(kernel) > STRIDE and sides == [size // STRIDE] * 2


def _is_rounded(conv: NodeProto, wires: Wires) -> bool:
    """Whether the weights are stored in 8 bits, for this convolution alone."""
    constants, makers, users = wires
    for name in conv.input[1:]:
        maker = makers.get(name)
        parts = maker.input if maker else [name]
        if len(users[name]) > 1 or not all(part in constants for part in parts):
            return False
    weights = makers.get(conv.input[1])
    return weights is not None and constants[weights.input[0]].data_type == TensorProto.INT8


def in_blocks(weights: np.ndarray, top: int, left: int) -> tuple[np.ndarray, list[int]]:
    """The kernel over blocks, and its pads in blocks.

    Args:
        top, left: pads of the kernel over pixels.
    Shape:
        weights: (O, C, R, Q). Returns: (2 O, 8 C, rows, columns), out by (e, o), in by (row, column, c); 4 pads.
    """
    out, channels, rows, columns = weights.shape
    first_row, last_row = -top // STRIDE, (rows - 1 - top) // STRIDE
    first, last = -left // WIDE, (STRIDE * (PAIR - 1) + columns - 1 - left) // WIDE
    high, broad = last_row - first_row + 1, last - first + 1
    kernel = np.zeros((PAIR, out, channels, STRIDE * high, WIDE * broad), weights.dtype)
    y = -top - STRIDE * first_row
    for e in range(PAIR):
        x = STRIDE * e - left - WIDE * first
        kernel[e, :, :, y : y + rows, x : x + columns] = weights
    kernel = kernel.reshape(PAIR, out, channels, high, STRIDE, broad, WIDE).transpose(0, 1, 4, 6, 2, 3, 5)
    kernel = kernel.reshape(PAIR * out, STRIDE * WIDE * channels, high, broad)
    return np.ascontiguousarray(kernel), [-first_row, -first, last_row, last]


def _put_weights(graph: GraphProto, stem: Stem, kernel: np.ndarray) -> None:
    """Give the convolution this kernel, and every number of an output channel twice."""
    conv, (constants, makers, _) = stem.conv, stem.wires
    replaced = set()
    for place in range(1, len(conv.input)):
        owner, places = conv, [place]
        if conv.input[place] in makers:
            owner = makers[conv.input[place]]
            places = range(len(owner.input))
        for part in places:
            name = owner.input[part]
            value = numpy_helper.to_array(constants[name])
            value = kernel if value.ndim == 4 else np.tile(value, PAIR) if value.ndim else value
            replaced.add(name)
            owner.input[part] = f"{PREFIX}{place}_{part}"
            graph.initializer.append(numpy_helper.from_array(value, owner.input[part]))
    used = {name for node in graph.node for name in node.input}
    for name in replaced - used:
        graph.initializer.remove(constants[name])


def _attributes(conv: NodeProto) -> dict:
    given = {attribute.name: helper.get_attribute_value(attribute) for attribute in conv.attribute}
    standard = {"group": 1, "dilations": [1, 1], "strides": [1, 1], "pads": [0, 0, 0, 0], "auto_pad": b"NOTSET"}
    return standard | given


def _set(conv: NodeProto, **attributes: list[int]) -> None:
    for attribute in [attribute for attribute in conv.attribute if attribute.name in attributes]:
        conv.attribute.remove(attribute)
    conv.attribute.extend(helper.make_attribute(name, value) for name, value in attributes.items())


def _chain(source: str, target: str, steps: list) -> list[NodeProto]:
    """Nodes one after the other: a list is the order of a Transpose, a word names the shape of a Reshape."""
    names = [source, *(f"{target}_{n}" for n in range(1, len(steps))), target]
    return [
        helper.make_node("Reshape", [names[n], PREFIX + step], [names[n + 1]])
        if isinstance(step, str)
        else helper.make_node("Transpose", [names[n]], [names[n + 1]], perm=step)
        for n, step in enumerate(steps)
    ]


def _insert(graph: GraphProto, nodes: list[NodeProto], at: int) -> None:
    for node in reversed(nodes):
        graph.node.insert(at, node)
