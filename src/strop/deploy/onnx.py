"""ONNX: export the network, then put the preprocessing into the graph."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path

import numpy as np
import onnx
import torch
import torch.nn as nn
from onnx import TensorProto, helper, numpy_helper

INPUT, OUTPUT = "images", "probabilities"


def export_float(net: nn.Module, shape: tuple[int, int, int], path: Path) -> None:
    """Write `net` as ONNX: float input (B, C, H, W) already normalised, logits out, any B.

    A batch of two is traced, because a batch of one would be frozen into the graph.
    """
    net = net.eval().cpu()
    example = torch.zeros(2, *shape)
    for name in ("torch.onnx", "onnxscript", "onnx_ir"):
        logging.getLogger(name).setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            net,
            (example,),
            dynamo=True,
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            input_names=["input"],
            output_names=["logits"],
            external_data=False,
            verbose=False,
        )
    onnx.save(_without_traces(program.model_proto), path)


def _without_traces(model: onnx.ModelProto) -> onnx.ModelProto:
    """Without torch's notes on where each operator came from: they hold paths of this machine, and differ each time."""
    graph = model.graph
    for part in (model, graph, *graph.node, *graph.value_info, *graph.input, *graph.output, *graph.initializer):
        del part.metadata_props[:]
    return model


def merge_preprocessing(
    source: Path, target: Path, *, shape: tuple[int, int, int], mean: tuple[float, ...], std: tuple[float, ...]
) -> None:
    """Prepend (pixel / 255 - mean) / std and append softmax, so that uint8 pixels go in and probabilities come out.

    Args:
        source: graph with one normalised float input and logits.
        target: where to write; input "images" (B, C, H, W) uint8, output "probabilities" (B, K) float32.
    """
    model = onnx.load(source, load_external_data=False)
    graph = model.graph
    inner, logits = graph.input[0].name, graph.output[0].name
    scale = (1 / (255 * np.asarray(std, np.float32))).reshape(-1, 1, 1)
    shift = (-np.asarray(mean, np.float32) / np.asarray(std, np.float32)).reshape(-1, 1, 1)
    before = [
        helper.make_node("Cast", [INPUT], ["strop_float"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["strop_float", "strop_scale"], ["strop_scaled"]),
        helper.make_node("Add", ["strop_scaled", "strop_shift"], [inner]),
    ]
    nodes = [*before, *graph.node, helper.make_node("Softmax", [logits], [OUTPUT], axis=1)]
    classes = graph.output[0].type.tensor_type.shape.dim[1].dim_value
    constants = [numpy_helper.from_array(scale, "strop_scale"), numpy_helper.from_array(shift, "strop_shift")]
    merged = helper.make_graph(
        nodes,
        "strop",
        [helper.make_tensor_value_info(INPUT, TensorProto.UINT8, ["batch", *shape])],
        [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ["batch", classes])],
        [*graph.initializer, *constants],
    )
    result = helper.make_model(
        merged, opset_imports=model.opset_import, ir_version=model.ir_version, producer_name="strop"
    )
    result.functions.extend(model.functions)
    onnx.checker.check_model(result)
    onnx.save(result, target)
