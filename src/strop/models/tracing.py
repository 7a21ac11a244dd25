"""Follow which channels of a network belong together; `groups` is where this is used from."""

from __future__ import annotations

import copy
import re
import warnings
from collections.abc import Collection, Iterable, Iterator, Sequence

import torch
import torch_pruning
from torch import Tensor, nn
from torch_pruning import ops

from ..errors import UserError
from .attention import Cuts, attention_groups, attentions, uncut_attentions
from .members import Group, Member

MADE_OF_ROWS = (ops.OPTYPE.CONV, ops.OPTYPE.LINEAR)
# Networks whose channels are shuffled or rolled through each other, by class: within these parts they are not, and what
# flows in and out of a part keeps its width.
APART = {"ShuffleNetV2": r"stage\d\.\d+\.branch2"} | dict.fromkeys(
    ("SwinTransformer", "SwinTransformerV2", "SwinTransformerV2Cr"), r".*\.mlp"
)
CHANNELWISE = (ops.OPTYPE.DEPTHWISE_CONV, ops.OPTYPE.BN, ops.OPTYPE.PRELU)


def channel_groups(
    model: nn.Module, example_input: Tensor, *, keep: Collection[str] = (), attention: Cuts = "both"
) -> list[Group]:
    """Find the groups of channels that can be removed from `model`, in module order.

    Left out: what gives the model's output, what `keep` or the model's own `fixed_widths` names, and channels that
    meet a grouped (not depthwise) convolution or a group norm, where the number a group holds must stay even. Of
    networks in `APART` only the channels within the parts named there are found. What goes of attention is not traced:
    `attention` describes the layers that it knows, and the others keep their heads.

    Args:
        example_input: (B, C, H, W) float pictures that the model accepts.
        keep: names of modules whose output width must stay.
        attention: "heads", "width" (of all heads of a layer), "both" or "whole".
    Raises:
        UserError: the dependencies of this model can't be traced.

    Example:
        >>> groups = channel_groups(torchvision.models.resnet18(), torch.zeros(1, 3, 64, 64))
        >>> groups[0].name, groups[0].width, len(groups)
        ('conv1', 64, 12)
    """
    keep = {*keep, *getattr(model, "fixed_widths", ())}
    unknown = sorted(keep - {name for name, _ in model.named_modules()})
    if unknown:
        raise ValueError(f"keep: the model has no modules {unknown}")
    double = _traceable_copy(model)
    order, found = _positions(double), attention_groups(double, attention, keep)
    heads = {*(known.name for known in attentions(double)), *uncut_attentions(double)}
    within = {(f"{name}.{leaf}", side) for name in heads for leaf, side in (("qkv", "out"), ("proj", "in"))}
    for part, inputs in _parts_apart(double, example_input) or [(double, example_input)]:
        graph = _trace(part, inputs)
        for raw in _raw_groups(graph, double, keep):
            members = _read_members(graph, double, raw)
            producers = [m for m in members if _makes_all(m, double)]
            if producers and not within & {(member.name, member.side) for member in members}:
                members.sort(key=lambda member: (order[member.name], member.side))
                name = min(producers, key=lambda member: order[member.name]).name
                found.append(Group(name, len(members[0].index), tuple(members)))
    return sorted(found, key=lambda group: order.get(group.name, order.get(group.name.rpartition(".")[0])))


def _parts_apart(model: nn.Module, example_input: Tensor) -> list[tuple[nn.Module, Tensor]]:
    """The parts of a network in `APART`, each with what flows into it; none for other networks."""
    pattern = APART.get(type(model).__name__)
    if pattern is None:
        return []
    entries = {part: part for name, part in model.named_modules() if re.fullmatch(pattern, name)}
    if hasattr(model, "conv5"):  # ShuffleNetV2: nothing is shuffled behind the last unit
        entries[model.conv5] = nn.Sequential(model.conv5, nn.AdaptiveAvgPool2d(1), nn.Flatten(), model.fc)
    inputs: dict[nn.Module, Tensor] = {}
    hooks = [
        entry.register_forward_pre_hook(lambda entry, given: inputs.update({entry: given[0].detach()}))
        for entry in entries
    ]
    with torch.no_grad():
        model(example_input)
    for hook in hooks:
        hook.remove()
    return [(part, inputs[entry]) for entry, part in entries.items()]


def _traceable_copy(model: nn.Module) -> nn.Module:
    # Tracing follows gradients, leaves the model in eval mode and may leave hooks: none of it is for the original.
    double = copy.deepcopy(model).eval()
    for parameter in double.parameters():
        parameter.requires_grad_(parameter.is_floating_point())
    return double


def _trace(model: nn.Module, example_input: Tensor) -> torch_pruning.DependencyGraph:
    try:
        with torch.enable_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            # Fresh collections each time: the library's own defaults are shared between calls.
            return torch_pruning.DependencyGraph().build_dependency(
                model, example_input, unwrapped_parameters=[], customized_pruners={}, ignored_layers=[],
                ignored_params=[], verbose=False,
            )  # fmt: skip
    except Exception as error:  # the library fails in many ways on graphs it does not know
        raise _untraceable(model, error) from error


def _raw_groups(graph: torch_pruning.DependencyGraph, model: nn.Module, keep: Collection[str]) -> list:
    limit = max(max(parameter.shape, default=1) for parameter in model.parameters())
    for node in graph.module2node.values():
        for dependency in node.dependencies:
            dependency.index_mapping = _Bounded(dependency.index_mapping, limit)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return list(graph.get_all_groups(ignored_layers=[model.get_submodule(name) for name in keep]))
    except Exception as error:  # as above: following the channels may fail where drawing the graph did not
        raise _untraceable(model, error) from error


def _untraceable(model: nn.Module, error: Exception) -> UserError:
    found = f"{type(error).__name__}: {first_line(error)}"
    return not_prunable(model, f"the way its channels are mixed can't be followed ({found})")


class _Bounded(list):
    """Index mappings of one dependency, followed by a check: where windows are cut and rolled, they grow for ever."""

    def __init__(self, mappings: Iterable, limit: int):
        super().__init__(mappings)
        self.limit = limit

    def __iter__(self) -> Iterator:
        yield from super().__iter__()
        yield self._check

    def _check(self, rows: list) -> list:
        if len(rows) > self.limit:
            raise ValueError("a channel stands for more rows than any layer has")
        return rows


def _positions(model: nn.Module) -> dict[str, int]:
    """Where each module and each parameter stands in the model."""
    names: dict[str, int] = {}
    for path, module in model.named_modules():
        for name in (path, *(f"{path}.{leaf}".lstrip(".") for leaf, _ in module.named_parameters(recurse=False))):
            names.setdefault(name, len(names))
    return names


def _read_members(graph: torch_pruning.DependencyGraph, model: nn.Module, raw: torch_pruning.Group) -> list[Member]:
    """The members of a traced group; none where it reaches something whose rows can't be taken one by one."""
    modules = {module: name for name, module in model.named_modules()}
    parameters = {parameter: name for name, parameter in model.named_parameters()}
    width, members = len(raw[0].idxs), []
    for item in raw:
        node, module = item.dep.target, item.dep.target.module
        name = parameters.get(module) if isinstance(module, nn.Parameter) else modules.get(module)
        side = "out" if graph.is_out_channel_pruning_fn(item.dep.handler) else "in"
        if node.type == ops.OPTYPE.OUTPUT or (side == "out" and not node.outputs):
            return []  # nothing comes after it: these are the logits
        if name is None:  # an addition, a concatenation, a reshape: nothing to cut there
            continue
        index = _index(item.idxs, item.root_idxs, width)
        tensors = ((name, node.pruning_dim),) if isinstance(module, nn.Parameter) else _tensors(name, module, side)
        if index is None or tensors is None:
            return []
        members.append(Member(name, side, index, tensors))
    return members


def _index(rows: Sequence[int], channels: Sequence[int | None], width: int) -> Tensor | None:
    """(width, r) rows of each channel; None where the channels don't have the same number of rows."""
    per_channel: list[list[int]] = [[] for _ in range(width)]
    for row, channel in zip(rows, channels, strict=True):
        if channel is None:
            return None
        per_channel[channel].append(row)
    counts = {len(rows) for rows in per_channel}
    return torch.tensor([sorted(rows) for rows in per_channel]) if len(counts) == 1 and 0 not in counts else None


def _tensors(name: str, module: nn.Module, side: str) -> tuple[tuple[str, int], ...] | None:
    """The parameters of a layer that lose rows on this side, and along which dimension; None: not a layer we cut."""
    kind = ops.module2type(module)
    if kind in MADE_OF_ROWS:
        if getattr(module, "groups", 1) > 1 or getattr(module, "transposed", False):
            return None
        dims = {"weight": 0, "bias": 0} if side == "out" else {"weight": 1}
    elif kind in CHANNELWISE or (kind == ops.OPTYPE.LN and len(module.normalized_shape) == 1):
        dims = {"weight": 0, "bias": 0}
    else:
        return None
    own = dict(module.named_parameters(recurse=False))
    return tuple((f"{name}.{leaf}", dim) for leaf, dim in dims.items() if leaf in own and own[leaf].numel() > 1)


def _makes_all(member: Member, model: nn.Module) -> bool:
    """Whether this is the convolution or linear layer whose rows are the group's channels, in their order."""
    if member.side != "out" or ops.module2type(dict(model.named_modules()).get(member.name)) not in MADE_OF_ROWS:
        return False
    return torch.equal(member.index, torch.arange(len(member.index))[:, None])


def first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).split("\n")[0][:200]


def not_prunable(model: nn.Module, reason: str) -> UserError:
    families = "ResNet, VGG, MobileNet, EfficientNet, SqueezeNet, ShuffleNetV2 and timm's ViT and Swin"
    said = f"{type(model).__name__} can't be pruned: {reason}. {families} can; this one can teach."
    return UserError("prune", said)
