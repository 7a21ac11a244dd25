"""Cross-layer equalisation: channels that follow each other get like ranges; the float function stays the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np

SWEEPS = 20
SETTLED = 1e-3
SAME = 1e-3
SCALES_THROUGH = ("Relu", "MaxPool", "AveragePool", "GlobalAveragePool", "ReduceMean", "Flatten", "Reshape")


def equalize(prepared: Path, target: Path) -> int:
    """Write the network with its pairs of layers equalised; returns how many pairs there are, 0 for "don't use it".

    For channel i between two layers, with r1 = max |W1_i| of what makes it and r2 = max |W2_i| of what reads it:
    s_i = sqrt(r1 / r2), W1_i <- W1_i / s_i, b1_i <- b1_i / s_i, W2_i <- W2_i s_i, over all pairs until s is about 1.
    ReLU and pooling let a positive factor through, so the network computes the same.

    Source: Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias Correction", ICCV 2019,
    arXiv:1906.04721, section 4.1. Unlike it: ReLU6 is not replaced by ReLU; pairs around it are left alone.

    Args:
        prepared: float graph from `static.prepare`, so batch norms are folded.
    """
    import onnx

    model = onnx.load(prepared, load_external_data=False)
    graph = model.graph
    weights = {tensor.name: onnx.numpy_helper.to_array(tensor).copy() for tensor in graph.initializer}
    pairs = find_pairs(graph, weights)
    for _ in range(SWEEPS if pairs else 0):
        if max(_equalize_pair(weights, *pair) for pair in pairs) < SETTLED:
            break
    for tensor in graph.initializer:
        if any(tensor.name in node.input for pair in pairs for node in pair):
            tensor.CopyFrom(onnx.numpy_helper.from_array(weights[tensor.name], tensor.name))
    onnx.save(model, target)
    return len(pairs) if pairs and _compute_the_same(prepared, target) else 0


def find_pairs(graph, weights: dict[str, np.ndarray]) -> list[tuple]:
    """(first, second) node of each pair: between the two only what lets a factor through, and nothing branches off."""
    readers: dict[str, list] = {}
    for node in graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    shown = {output.name for output in graph.output}
    pairs = []
    for first in graph.node:
        if not _has_own_weights(first, weights, readers):
            continue
        behind = first
        while behind is not None:
            following = readers.get(behind.output[0], [])
            behind = following[0] if len(following) == 1 and behind.output[0] not in shown else None
            if behind is not None and behind.op_type not in SCALES_THROUGH:
                break
        if behind is not None and _has_own_weights(behind, weights, readers):
            made = weights[first.input[1]].shape[0]
            if _columns(behind, weights[behind.input[1]], made) is not None:
                pairs.append((first, behind))
    return pairs


def _compute_the_same(one: Path, other: Path) -> bool:
    """Whether two files answer alike up to rounding: `find_pairs` does not know every way to use channels."""
    import onnxruntime

    answers = []
    for path in (one, other):
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        given = session.get_inputs()[0]
        shape = [size if isinstance(size, int) else 2 for size in given.shape]
        images = np.random.default_rng(0).standard_normal(shape, dtype=np.float32)
        answers.append(session.run(None, {given.name: images})[0])
    return bool(np.abs(answers[0] - answers[1]).max() <= SAME * (1 + np.abs(answers[0]).max()))


def _has_own_weights(node, weights: dict[str, np.ndarray], readers: dict) -> bool:
    """A convolution, or a linear layer with its output channels first, whose weight and bias nothing else uses."""
    if node.op_type == "Gemm":
        if not any(a.name == "transB" and a.i for a in node.attribute):
            return False
    elif node.op_type != "Conv":
        return False
    return all(name in weights and len(readers[name]) == 1 for name in node.input[1:])


def _columns(node, weight: np.ndarray, made: int) -> np.ndarray | None:
    """A view of its weight as (groups, rows, channels a group, taps); None where its inputs are not these channels."""
    groups = next((a.i for a in node.attribute if a.name == "group"), 1)
    inputs = weight.shape[1] * groups
    if inputs % made or (node.op_type == "Conv" and inputs != made):
        return None
    return weight.reshape(groups, len(weight) // groups, made // groups, -1)


def _equalize_pair(weights: dict[str, np.ndarray], first, second) -> float:
    """Scale one pair in place; returns the largest |log s|."""
    w1, w2 = weights[first.input[1]], weights[second.input[1]]
    columns = _columns(second, w2, len(w1))
    r1 = np.abs(w1.reshape(len(w1), -1)).max(1).astype(np.float64)
    r2 = np.abs(columns).max((1, 3)).reshape(-1).astype(np.float64)
    used = (r1 > 0) & (r2 > 0)
    s = np.where(used, np.sqrt(np.where(used, r1, 1) / np.where(used, r2, 1)), 1).astype(np.float32)
    w1 /= s.reshape(-1, *[1] * (w1.ndim - 1))
    if len(first.input) > 2:
        weights[first.input[2]] /= s
    columns *= s.reshape(columns.shape[0], 1, -1, 1)
    return float(np.abs(np.log(s)).max())
