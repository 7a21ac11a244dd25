"""Bias correction: what rounding the weights does to the mean of each channel is taken out of its bias."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from .layers import Layer
from .static import multiplies_int8_exactly
from .weights import FLOAT, channel_scales

Means = Mapping[str, np.ndarray]


def mean_inputs(prepared: Path, layers: list[Layer], batches: Iterable[np.ndarray]) -> Means:
    """E[x] of each layer: the mean over pictures of what goes into it, by the name of the layer.

    Shape:
        batches: normalised float32 (B, C, H, W). Returns: (C, H, W) or (F,) float64.
    """
    import onnx
    import onnxruntime

    model = onnx.load(prepared, load_external_data=False)
    graph = model.graph
    source = graph.input[0].name
    first = {node.name: node.input[0] for node in graph.node}
    wanted = {layer.name: first[layer.nodes[0]] for layer in layers}
    tensors = sorted({*wanted.values()} - {source})
    known = {value.name: value for value in graph.value_info}
    graph.output.extend(known[name] for name in tensors)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    sums: dict[str, np.ndarray] = {}
    count = 0
    for batch in batches:
        for start in range(0, len(batch), 8):
            part = np.ascontiguousarray(batch[start : start + 8])
            found = dict(zip(tensors, session.run(tensors, {source: part}), strict=True)) | {source: part}
            for name, values in found.items():
                total = values.sum(0, dtype=np.float64)
                sums[name] = sums[name] + total if name in sums else total
            count += len(part)
    return {name: sums[tensor] / count for name, tensor in wanted.items()}


def correct_biases(prepared: Path, target: Path, layers: list[Layer], means: Means, bits: Mapping[str, int]) -> None:
    """Write the float network whose biases make up for the rounding of its weights.

    E[y'] = E[y] + e * E[x] with e = w' - w, w' the weights as they are in the file; so b' = b - mean over positions of
    e * E[x]. A convolution is linear: this holds for every stride and padding.

    Source: Nagel et al., ICCV 2019, arXiv:1906.04721, section 4.2, with E[x] from calibration pictures (appendix D).
    Unlike it: E[x] is that of the float network, so one pass serves all layers.

    Args:
        bits: of the weights of each layer by name; 8 where it is not named, 32 for float.
    """
    import onnx

    model = onnx.load(prepared, load_external_data=False)
    graph = model.graph
    constants = {tensor.name: tensor for tensor in graph.initializer}
    nodes = {node.name: node for node in graph.node}
    uses = Counter(name for node in graph.node for name in node.input)
    for layer in layers:
        given, node = bits.get(layer.name, 8), nodes[layer.nodes[0]]
        is_alone = layer.axis == 0 and all(uses[name] == 1 for name in node.input[1:])
        if given == FLOAT or node.op_type not in ("Conv", "Gemm") or not is_alone:
            continue
        weights = onnx.numpy_helper.to_array(constants[layer.weight])
        shift = _mean_output(node, rounding_error(weights, layer.axis, given), means[layer.name])
        if len(node.input) > 2 and node.input[2]:
            bias = constants[node.input[2]]
            value = onnx.numpy_helper.to_array(bias) - shift
        else:
            bias, value = graph.initializer.add(), -shift
            node.input.extend([f"{layer.name}.bias_corrected"])
        bias.CopyFrom(onnx.numpy_helper.from_array(value.astype(np.float32), node.input[2]))
    onnx.save(model, target)


def rounding_error(weights: np.ndarray, axis: int, bits: int) -> np.ndarray:
    """w' - w for weights of so many bits. Shape: as `weights`."""
    scales = channel_scales(weights, axis, bits)
    if bits == 8 and not multiplies_int8_exactly():
        scales = scales * np.float32(127 / 64)  # the runtime's reduced range is -64 to 64
    wide = scales.reshape([-1 if d == axis else 1 for d in range(weights.ndim)])
    return np.round(weights / wide) * wide - weights


def _mean_output(node, weights: np.ndarray, inputs: np.ndarray) -> np.ndarray:
    """The layer without its bias on one input, averaged over positions. Shape: (O,)."""
    import torch
    import torch.nn.functional as F

    inputs, weights = torch.from_numpy(inputs), torch.from_numpy(weights).double()
    if node.op_type == "Gemm":
        return F.linear(inputs, weights).numpy()
    about = {a.name: list(a.ints) if a.ints else a.i for a in node.attribute}
    top, left, bottom, right = about.get("pads", [0, 0, 0, 0])
    padded = F.pad(inputs[None], (left, right, top, bottom))
    how = {"stride": about.get("strides", 1), "dilation": about.get("dilations", 1), "groups": about.get("group", 1)}
    return F.conv2d(padded, weights, **how).mean((0, 2, 3)).numpy()
