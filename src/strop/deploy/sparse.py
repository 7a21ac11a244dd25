"""Weights of which most are zero, in an ONNX file: what is not zero, and where.

A weight becomes a constant of its nonzero values and one of their positions, which a few standard operators put
together again. Both runtimes do that once, when they load the file, and run the very graph that they make of the dense
weight (docs/design/0035-zeros-and-ranks.md): it saves bytes and no time.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

BLOCK = 1 << 16
AROUND = 1000  # bytes, at most, of the operators around a packed weight


def packed_bytes(weights: int, nonzero: int) -> int:
    """What `nonzero` of so many weights take: the value, and its position in 2 bytes up to 65,536 weights, else in 3.

    >>> packed_bytes(2_359_296, 235_930) / (4 * 2_359_296)
    0.175...
    """
    return nonzero * (4 + (2 if weights <= BLOCK else 3 if weights <= BLOCK << 8 else 4))


def is_worth_packing(weights: int, nonzero: int) -> bool:
    return packed_bytes(weights, nonzero) + AROUND < 4 * weights


def pack_zeros(path: Path) -> list[str]:
    """Leave the zeros out of each float weight of a file where that makes it smaller; written again.

    Returns:
        the names of the weights.
    """
    model = onnx.load(path, load_external_data=False)
    graph, nodes, kept, packed = model.graph, [], [], []
    for tensor in graph.initializer:
        values = numpy_helper.to_array(tensor) if tensor.data_type == TensorProto.FLOAT else None
        if values is None or values.ndim < 2 or not is_worth_packing(values.size, np.count_nonzero(values)):
            kept.append(tensor)
            continue
        constants, operators = _pack(tensor.name, values)
        kept += constants
        nodes += operators
        packed.append(tensor.name)
    if packed:
        operators = [*nodes, *graph.node]
        del graph.initializer[:], graph.node[:]
        graph.initializer.extend(kept)
        graph.node.extend(operators)
        onnx.save(model, path)
    return packed


def _pack(name: str, values: np.ndarray) -> tuple[list[TensorProto], list]:
    """Constants, and the operators whose last output has the name and the values of the weight."""
    flat = values.ravel()
    positions = np.flatnonzero(flat)
    constants = {
        "nonzero": flat[positions],
        "low": (positions % BLOCK).astype(np.uint16),
        "size": np.array([flat.size], np.int64),
        "shape": np.array(values.shape, np.int64),
    }
    place = {word: f"{name}.{word}" for word in ("nonzero", "low", "high", "block", "size", "shape")}
    part = {word: f"{name}.{word}" for word in ("lower", "higher", "blocks", "position", "zeros", "flat")}
    operators = [helper.make_node("Cast", [place["low"]], [part["lower"]], to=TensorProto.INT32)]
    position = part["lower"]
    if flat.size > BLOCK:
        constants["high"] = (positions // BLOCK).astype(np.uint8 if flat.size <= BLOCK << 8 else np.uint16)
        constants["block"] = np.array(BLOCK, np.int32)
        position = part["position"]
        operators += [
            helper.make_node("Cast", [place["high"]], [part["higher"]], to=TensorProto.INT32),
            helper.make_node("Mul", [part["higher"], place["block"]], [part["blocks"]]),
            helper.make_node("Add", [part["lower"], part["blocks"]], [position]),
        ]
    zero = helper.make_tensor("zero", TensorProto.FLOAT, [1], [0.0])
    operators += [
        helper.make_node("ConstantOfShape", [place["size"]], [part["zeros"]], value=zero),
        helper.make_node("ScatterElements", [part["zeros"], position, place["nonzero"]], [part["flat"]], axis=0),
        helper.make_node("Reshape", [part["flat"], place["shape"]], [name]),
    ]
    return [numpy_helper.from_array(array, place[word]) for word, array in constants.items()], operators
