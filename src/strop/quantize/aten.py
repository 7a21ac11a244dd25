"""A network as one graph of ATen operators, with batch norms folded into the convolutions before them."""

from __future__ import annotations

import warnings

import torch
import torch.nn as nn
from torch.fx import GraphModule, Node

from ..errors import UserError

aten = torch.ops.aten
IN_PLACE = {
    aten.relu_.default: aten.relu.default,
    aten.hardtanh_.default: aten.hardtanh.default,
    aten.hardswish_.default: aten.hardswish.default,
    aten.hardsigmoid_.default: aten.hardsigmoid.default,
    aten.silu_.default: aten.silu.default,
    aten.leaky_relu_.default: aten.leaky_relu.default,
    aten.add_.Tensor: aten.add.Tensor,
    aten.mul_.Tensor: aten.mul.Tensor,
}
WITHOUT_EFFECT = (aten.dropout.default, aten.dropout_.default, aten.feature_dropout.default)
SAME = 1e-4


def export_graph(net: nn.Module, shape: tuple[int, int, int]) -> GraphModule:
    """`net` in eval mode as a graph that computes the same, up to rounding, without batch norm and dropout.

    w' = w gamma / sqrt(var + eps) for each output channel, b' = (b - mean) gamma / sqrt(var + eps) + beta.
    Tensors keep the names that they have in `net`; those of a folded batch norm go, and a convolution without a bias
    gets one. A batch norm that follows no convolution stays as it is in eval mode.

    Source: Jacob et al., CVPR 2018, arXiv:1712.05877, section 3.2; folded before training, as in Nagel et al., "A White
    Paper on Neural Network Quantization", 2021, arXiv:2106.08295, section 4.2 ("static folding").

    Raises:
        UserError: `net` is no graph (its course depends on the pictures), or the graph does not compute the same.
    """
    net = net.eval()
    example = torch.linspace(-1, 1, 2 * shape[0] * shape[1] * shape[2]).view(2, *shape)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            program = torch.export.export(net, (example,), dynamic_shapes=({0: torch.export.Dim("batch", min=1)},))
        except Exception as error:  # of many kinds, from every depth of torch
            raise UserError("epochs", f"this network can't be written as one graph ({_first_line(error)}).") from error
    graph = program.module(check_guards=False)
    for node in list(graph.graph.nodes):
        node.target = IN_PLACE.get(node.target, node.target)
        if node.target in WITHOUT_EFFECT:
            node.replace_all_uses_with(node.args[0])
            graph.graph.erase_node(node)
        elif node.target == aten.batch_norm.default:
            _fold(graph, node)
    graph.graph.eliminate_dead_code()
    graph.delete_all_unused_submodules()
    graph.recompile()
    with torch.no_grad():
        before, after = net(example), graph(example)
    if not (before - after).abs().max() <= SAME * (1 + before.abs().max()):
        raise UserError("epochs", "this network computes something else as a graph. Quantize it without --epochs.")
    return graph


def _fold(graph: GraphModule, norm: Node) -> None:
    """Put a batch norm into the convolution or linear layer that alone feeds it."""
    made, *named = norm.args[:5]
    eps = norm.args[7]
    if made.target not in (aten.conv2d.default, aten.linear.default) or len(made.users) > 1:
        return
    if made.args[1].op != "get_attr" or named[2] is None:  # a computed weight; statistics of each batch
        return
    weight, bias = made.args[1], made.args[2] if len(made.args) > 2 else None
    gamma, beta, mean, var = (None if node is None else _tensor(graph, node).detach() for node in named)
    factor = (var + eps).rsqrt() * (1 if gamma is None else gamma)
    w = _tensor(graph, weight).detach()
    b = 0 if bias is None else _tensor(graph, bias).detach()
    folded = (b - mean) * factor + (0 if beta is None else beta)
    owner = graph.get_submodule(weight.target.rpartition(".")[0])
    setattr(owner, weight.target.rpartition(".")[2], nn.Parameter(w * factor.view(-1, *[1] * (w.ndim - 1))))
    owner.bias = nn.Parameter(folded)
    if bias is None:
        with graph.graph.inserting_before(made):
            bias = graph.graph.get_attr(weight.target.rpartition(".")[0] + ".bias")
    made.args = (made.args[0], weight, bias, *made.args[3:])
    norm.replace_all_uses_with(made)
    graph.graph.erase_node(norm)


def _tensor(graph: GraphModule, node: Node) -> torch.Tensor:
    value = graph
    for part in node.target.split("."):
        value = getattr(value, part)
    return value


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:120]
