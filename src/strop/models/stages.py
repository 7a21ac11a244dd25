"""The stages of a network, by the same names in every family: stem, layer1, layer2, ..., head.

`stem` is what comes before the first stage, and networks without such a thing (VGG, our CNNs) have none. `head` is
the layer that gives the logits, the one that is new for other classes. What lies between the last stage and the head
(a last norm, a 1x1 convolution, a hidden layer) belongs to the last stage. `layerN` is

| family | a stage is |
| --- | --- |
| ResNet, RegNet, DenseNet, ShuffleNet, Swin, ConvNeXt, MaxViT | a stage of the paper, with the layer that halves |
| MobileNet, MNASNet, EfficientNet | a row of the paper's table |
| ViT | a block of the encoder |
| VGG, AlexNet | what lies between two poolings; then each hidden linear layer |
| SqueezeNet | the fire modules between two poolings |
| Inception, GoogLeNet | the modules of one resolution |
| cnn2, cnn3, cnn5 | a block |
| the rest of timm | what timm's `group_matcher(coarse=True)` says |
| anything else | a child of the module that holds nearly all parameters, in order |
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator

from torch import nn

from .pretrained import head_places

# Module paths at which a stage begins; what lies before the first of them is the stem.
BEGINNINGS = {
    "CNN": r"features\.\d+",
    "ResNet": r"layer\d",
    "RegNet": r"trunk_output\.block\d",
    "DenseNet": r"features\.denseblock\d",
    "ShuffleNetV2": r"stage\d",
    "VisionTransformer": r"encoder\.layers\.encoder_layer_\d+",
    "SwinTransformer": r"features\.[1246]",
    "ConvNeXt": r"features\.[1246]",
    "MaxVit": r"blocks\.\d",
    "MNASNet": r"layers\.([89]|1[0-3])",
    "GoogLeNet": r"inception[345]a",
    "Inception3": r"Mixed_(5b|6a|7a)",
}
NEARLY_ALL = 0.9


def stages(net: nn.Module, num_classes: int) -> dict[str, list[str]]:
    """The names of the parameters of each stage, from the input to the output; each parameter once.

    Args:
        num_classes: outputs of the network, K; the head is found by them.

    Example:
        >>> list(stages(torchvision.models.resnet18(num_classes=10), 10))
        ['stem', 'layer1', 'layer2', 'layer3', 'layer4', 'head']
    """
    places = stage_of_tensors(net, num_classes)
    found: dict[str, list[str]] = {}
    for name, _ in net.named_parameters():
        found.setdefault(places[name], []).append(name)
    return {stage: found[stage] for stage in dict.fromkeys(places.values()) if stage in found}


def count_stages(net: nn.Module, num_classes: int) -> dict[str, int]:
    """How many parameters each stage has.

    Example:
        >>> count_stages(torchvision.models.resnet50(), 1000)["stem"]
        9536
    """
    sizes = {name: parameter.numel() for name, parameter in net.named_parameters()}
    return {stage: sum(sizes[name] for name in names) for stage, names in stages(net, num_classes).items()}


def stage_of_tensors(net: nn.Module, num_classes: int) -> dict[str, str]:
    """The stage of each parameter and each buffer, by name, in the order of the stages."""
    heads = tuple(f"{name}." for name in head_places(net, num_classes))
    groups = _groups_of_timm(net, heads) or _groups_from(net, _beginnings(net))
    numbers = sorted({groups[name] for name, _ in net.named_parameters() if not name.startswith(heads)})
    first = 0 if 0 in numbers else 1
    called = {number: f"layer{place}" if place else "stem" for place, number in enumerate(numbers, first)}
    found = {}
    for name, group in groups.items():
        before = [number for number in numbers if number <= group]
        found[name] = "head" if name.startswith(heads) else called[before[-1] if before else numbers[0]]
    order = [*called.values(), "head"]
    return dict(sorted(found.items(), key=lambda item: order.index(item[1])))


def _tensor_names(net: nn.Module) -> list[str]:
    """Parameters and buffers in the order of the modules."""
    trained = {name for name, _ in net.named_parameters()}  # a shared parameter has one name
    kept = {name for name, _ in net.named_buffers()}
    return [
        name
        for path, module in net.named_modules()
        for leaf in [*module._parameters, *module._buffers]
        if (name := f"{path}.{leaf}" if path else leaf) in trained | kept
    ]


def _groups_of_timm(net: nn.Module, heads: tuple[str, ...]) -> dict[str, int] | None:
    """The group of each tensor, 0 being the stem, as timm groups them; None where it does not.

    What timm puts beside the head (a last norm) goes to the group before.
    """
    if not hasattr(net, "group_matcher") or type(net).__name__ == "VGG":  # of a VGG it makes a group of each layer
        return None
    from timm.models import group_parameters

    try:
        matcher = net.group_matcher(coarse=True)
    except AssertionError:  # rdnet: "not implemented"
        return None
    groups = group_parameters(net, matcher, reverse=True)
    beside = {group for name, group in groups.items() if name.startswith(heads)}
    found, last = {}, 0
    for name in _tensor_names(net):
        last = found[name] = groups[name] - (groups[name] in beside) if name in groups else last  # buffers follow
    return found


def _groups_from(net: nn.Module, beginnings: Collection[str]) -> dict[str, int]:
    """The group of each tensor: 0 up to the first of the modules named, then one more from each of them on."""
    groups, group = {}, 0
    names = set(_tensor_names(net))
    for path, module in net.named_modules():
        group += path in beginnings
        for leaf in [*module._parameters, *module._buffers]:
            name = f"{path}.{leaf}" if path else leaf
            if name in names:
                groups[name] = group
    return groups


def _beginnings(net: nn.Module) -> set[str]:
    """Paths of the modules at which a stage begins."""
    family = type(net).__name__
    if family in ("AlexNet", "VGG", "SqueezeNet"):
        return set(_between_poolings(net))
    if family in ("MobileNetV2", "MobileNetV3"):
        return set(_rows_of_mobilenet(net))
    if family == "EfficientNet":
        return {f"features.{name}" for name, part in net.features.named_children() if type(part) is nn.Sequential}
    paths = [path for path, _ in net.named_modules()]
    pattern = BEGINNINGS.get(family)
    found = {path for path in paths if pattern and re.fullmatch(pattern, path)}
    return found or set(_children(net)[1:])


def _between_poolings(net: nn.Module) -> Iterator[str]:
    """The first layer after each pooling, and the hidden linear layers; SqueezeNet's first part is its stem."""
    fresh = type(net).__name__ != "SqueezeNet"
    for name, layer in net.features.named_children():
        if isinstance(layer, nn.MaxPool2d):
            fresh = True
        elif fresh and any(True for _ in layer.parameters()):
            yield f"features.{name}"
            fresh = False
    hidden = "classifier" if hasattr(net, "classifier") else "pre_logits"  # timm's VGG
    kinds = (nn.Linear, nn.Conv2d) if hidden == "pre_logits" else nn.Linear
    yield from (f"{hidden}.{name}" for name, layer in getattr(net, hidden).named_children() if isinstance(layer, kinds))


def _rows_of_mobilenet(net: nn.Module) -> Iterator[str]:
    """Blocks without a shortcut; in V3 the last convolution as well, which timm too takes for a row."""
    blocks = [*net.features.named_children()][1:]
    for number, (name, block) in enumerate(blocks):
        is_last = number == len(blocks) - 1
        if is_last and type(net).__name__ == "MobileNetV3" or not number or not getattr(block, "use_res_connect", True):
            yield f"features.{name}"


def _children(net: nn.Module) -> list[str]:
    """Paths of the parts of a network that nothing is known of; norms and bare parameters belong to the part before."""
    total = sum(parameter.numel() for parameter in net.parameters())
    path, module = "", net
    paths: list[str] = []
    while True:
        parts = [(f"{path}.{name}".lstrip("."), part) for name, part in module.named_children() if _has_weights(part)]
        at = paths.index(path) if path else 0
        paths[at : at + 1] = [name for name, _ in parts]
        largest = max(parts, key=lambda item: _size(item[1]), default=("", net))
        if (
            not largest[0]
            or _size(largest[1]) < NEARLY_ALL * total
            or not any(map(_has_weights, largest[1].children()))
        ):
            return paths
        path, module = largest


def _has_weights(module: nn.Module) -> bool:
    return any(parameter.ndim > 1 for parameter in module.parameters())


def _size(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
