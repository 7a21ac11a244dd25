"""Quantization-aware training: a network that rounds while it trains as its QDQ file will.

torchao's PT2E puts the rounding where `EveryOperator` says, and replaces it by integers in the end.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterable, Mapping

import torch
import torch.nn as nn
from torch import Tensor
from torch.fx import GraphModule, Node
from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_qat_pt2e
from torchao.quantization.pt2e.quantizer import (
    QuantizationAnnotation,
    QuantizationSpec,
    Quantizer,
    SharedQuantizationSpec,
)

from .aten import aten, export_graph
from .fake import PerChannelWeights, PerTensorRange
from .weights import FLOAT

WEIGHTED = (aten.conv2d.default, aten.linear.default)
RECTIFIERS = (aten.relu.default, aten.hardtanh.default, aten.clamp.default)
ARITHMETIC = (
    aten.add.Tensor,
    aten.mul.Tensor,
    aten.cat.default,
    aten.adaptive_avg_pool2d.default,
    aten.avg_pool2d.default,
    aten.mean.dim,
)
MOVES_VALUES = (
    aten.max_pool2d.default,
    aten.flatten.using_ints,
    aten.view.default,
    aten.reshape.default,
    aten.transpose.int,
    aten.permute.default,
    aten.contiguous.default,
)
ATTENTION = (aten.scaled_dot_product_attention.default, aten.softmax.int)
NOTE = "quantization_annotation"


class EveryOperator(Quantizer):
    """Where to round: weights, and what goes into and comes out of each operator that the runtime has in integers.

    Activations have one range a tensor, weights a scale for each output channel. Operators that only move values keep
    the range of what they move. Logits stay in float, and so do norms and activations other than ReLU and ReLU6. In a
    network with attention only what goes into a layer with weights is rounded. A layer of 32 bits stays in float, and
    so does what reads only such layers, up to the next one with a weight, which rounds what comes in.

    Unlike those that come with torchao 0.18: it looks at operators one by one. Those match patterns of modules, and
    refuse a network with one ReLU in several places ("Input partition has more than one output node").

    Args:
        bits: of the weights of each layer by name: 8 where it is not named; 32 leaves the layer in float.
    """

    def __init__(self, bits: Mapping[str, int]):
        super().__init__()
        self.bits = bits
        self.tensors = QuantizationSpec(
            dtype=torch.uint8,
            quant_min=0,
            quant_max=255,
            qscheme=torch.per_tensor_affine,
            observer_or_fake_quant_ctr=PerTensorRange,
        )

    def annotate(self, model: GraphModule) -> GraphModule:
        has_attention = any(node.target in ATTENTION for node in model.graph.nodes)
        in_float: set[Node] = set()
        for node in model.graph.nodes:
            if self._stays_in_float(node, in_float):
                in_float.add(node)
            elif has_weight(node):
                inputs = {node.args[0]: self.tensors, node.args[1]: self._weights(node)}
                _note(node, inputs, None) if has_attention else self._note_output(node, inputs)
            elif has_attention or not _is_float(node):
                continue
            elif node.target in ARITHMETIC:
                self._note_output(node, dict.fromkeys(_tensors_into(node), self.tensors))
            elif node.target in RECTIFIERS and NOTE not in node.meta:
                _note(node, {node.args[0]: self.tensors}, self.tensors)
            elif node.target in MOVES_VALUES:
                _note(node, {node.args[0]: self.tensors}, SharedQuantizationSpec((node.args[0], node)))
        return model

    def _stays_in_float(self, node: Node, in_float: set[Node]) -> bool:
        if has_weight(node):
            return self.bits.get(layer_name(node)) == FLOAT
        sources = _tensors_into(node) if node.target in (*ARITHMETIC, *RECTIFIERS, *MOVES_VALUES) else []
        return bool(sources) and in_float.issuperset(sources)

    def validate(self, model: GraphModule) -> None:
        """There is nothing to refuse: what is not known stays in float."""

    def _weights(self, node: Node) -> QuantizationSpec:
        n = 2 ** (self.bits.get(layer_name(node), 8) - 1) - 1
        return QuantizationSpec(
            dtype=torch.int8,
            quant_min=-n,
            quant_max=n,
            qscheme=torch.per_channel_symmetric,
            ch_axis=0,
            observer_or_fake_quant_ctr=PerChannelWeights,
        )

    def _note_output(self, node: Node, inputs: dict) -> None:
        """The output is rounded behind the ReLU where one alone follows: the runtime makes one operator of the two."""
        followers = list(node.users)
        rectified = len(followers) == 1 and followers[0].target in RECTIFIERS
        gives_logits = all(follower.op == "output" for follower in followers)
        _note(node, inputs, None if rectified or gives_logits else self.tensors)
        if rectified:
            _note(followers[0], {}, self.tensors)


def _note(node: Node, inputs: dict, output: QuantizationSpec | SharedQuantizationSpec | None) -> None:
    node.meta[NOTE] = QuantizationAnnotation(inputs, output, _annotated=True)


def _tensors_into(node: Node) -> list[Node]:
    return [source for source in node.all_input_nodes if source.op != "get_attr" and _is_float(source)]


def _is_float(node: Node) -> bool:
    value = node.meta.get("val")
    return isinstance(value, Tensor) and value.is_floating_point()


def has_weight(node: Node) -> bool:
    """Whether it is a convolution or a linear layer whose weight is a tensor of the network, and not computed."""
    return node.target in WEIGHTED and node.args[1].op == "get_attr"


def layer_name(node: Node) -> str:
    """Of a node with a weight: the module it was."""
    return node.args[1].target.removesuffix(".weight")


class FakeQuantized(nn.Module):
    """A network as it rounds when it is deployed, with weights that train.

    Batch norms are folded before; dropout is off. The gradient passes through the rounding as if it were not there,
    and is 0 outside of a range. `state_dict` has all that training moves; to resume, make it again and load that.

    Args:
        net: trained float network; left as it is.
        shape: (C, H, W) of a picture.
        bits: of the weights of each layer by name: 8 where it is not named; 32 leaves the layer in float.
    Attributes:
        layers: names of the layers with weights, in the order of the graph.
    Shape:
        images: (B, C, H, W) normalised float32. Returns: (B, K) logits.
    Raises:
        UserError: the network can't be written as one graph.
    """

    def __init__(self, net: nn.Module, shape: tuple[int, int, int], bits: Mapping[str, int] | None = None):
        super().__init__()
        graph = export_graph(net, shape)
        self.layers = tuple(layer_name(node) for node in graph.graph.nodes if has_weight(node))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.inner = prepare_qat_pt2e(graph, EveryOperator(bits or {}))
        _name_once(self.inner)

    def train(self, mode: bool = True) -> FakeQuantized:
        """In training mode the ranges follow the batches. (The graph within refuses to be switched.)"""
        self.training = mode
        for found in self._ranges():
            found.training = mode
        return self

    def forward(self, images: Tensor) -> Tensor:
        if self.training:
            for found in self._ranges():
                found.is_due = True
        return self.inner(images)

    def _ranges(self) -> list[PerTensorRange]:
        return [module for module in self.inner.modules() if isinstance(module, PerTensorRange)]

    @torch.no_grad()
    def observe(self, batches: Iterable[Tensor]) -> None:
        """Begin the ranges with the extremes of some batches, averaged."""
        self.train()
        for batch in batches:
            self(batch)
        self.eval()


def _name_once(graph: GraphModule) -> None:
    """A range that several places share has one name, and so is saved once."""
    names: dict[nn.Module, str] = {}
    for node in graph.graph.nodes:
        if node.op == "call_module":
            first = names.setdefault(graph.get_submodule(node.target), node.target)
            if first != node.target:
                graph.delete_submodule(node.target)
                node.target = first
    graph.recompile()


def to_integers(net: FakeQuantized, shape: tuple[int, int, int]) -> nn.Module:
    """A copy that holds integers and their scales, and computes what `net` does in eval mode; for ONNX."""
    copied = copy.deepcopy(net).cpu().eval()
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        copied(torch.zeros(2, *shape))  # so that the scales are those of the weights as they are now
        copied.inner = convert_pt2e(copied.inner)
    return copied
