"""ONNX: export the network, then put the preprocessing into the graph."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence
from pathlib import Path

import onnx
import torch
import torch.nn as nn
from onnx import TensorProto, helper, numpy_helper

from .preprocessing import TEMPERATURE, before, constants
from .settings import Settings, write_about
from .stem import put_in_blocks

OUTPUT = "probabilities"


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


def merge_preprocessing(source: Path, target: Path, settings: Settings, classes: Sequence[str]) -> None:
    """Put the preprocessing before the network and softmax(logits / temperature) behind it.

    The network's own nodes and numbers are copied as they are, quantized ones too, but for a first convolution in 8
    bits, which gives the same sums faster (`stem.put_in_blocks`). The settings and the class names are written into the
    file's metadata (`settings.About`), so that the file alone can be used.

    Args:
        source: graph with one normalised float input and logits.
        target: where to write; input "images" (B, H, W, 3) uint8 RGB with any H and W, output "probabilities" (B, K)
            float32.
    """
    model = onnx.load(source, load_external_data=False)
    graph = model.graph
    put_in_blocks(graph)
    inner, logits = graph.input[0].name, graph.output[0].name
    first = before(settings, inner)
    after = [
        helper.make_node("Div", [logits, TEMPERATURE], ["strop_calibrated"]),
        helper.make_node("Softmax", ["strop_calibrated"], [OUTPUT], axis=1),
    ]
    temperature = numpy_helper.from_array(constants(settings)[TEMPERATURE], TEMPERATURE)
    count = graph.output[0].type.tensor_type.shape.dim[1].dim_value
    merged = helper.make_graph(
        [*first.node, *graph.node, *after],
        "strop",
        list(first.input),
        [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ["batch", count])],
        [*graph.initializer, *first.initializer, temperature],
    )
    result = helper.make_model(
        merged, opset_imports=model.opset_import, ir_version=model.ir_version, producer_name="strop"
    )
    helper.set_model_props(result, write_about(settings, list(classes)))
    result.functions.extend(model.functions)
    onnx.checker.check_model(result)
    onnx.save(result, target)
