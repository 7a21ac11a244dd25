"""ShuffleNetV2: half of the channels pass by untouched, the other half is convolved, and both are shuffled."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from ..errors import UserError, suggest
from . import models
from .shuffling import conv_norm, shuffle

# Channels of the three stages and of the last convolution, by width; units of each stage.
WIDTHS = {0.5: (48, 96, 192, 1024), 1.0: (116, 232, 464, 1024), 1.5: (176, 352, 704, 1024), 2.0: (244, 488, 976, 2048)}
UNITS = (4, 8, 4)
STEM = 24
HEADS = ("linear", "hidden")


class Unit(nn.Module):
    """Convolve one half (stride 1) or the whole twice (stride 2), concatenate, shuffle.

    Stride 1: y = shuffle(concat(x1, branch2(x2))), [x1, x2] = x. Stride 2: y = shuffle(concat(branch1(x), branch2(x))).

    Args:
        inputs, outputs: channels; equal and even at stride 1.
        se: squeeze-and-excitation at the end of branch2.
    Shape:
        x: (B, inputs, H, W). Returns: (B, outputs, H / stride, W / stride), rounded up.
    """

    def __init__(self, inputs: int, outputs: int, *, stride: int, se: bool = False):
        super().__init__()
        self.stride, half = stride, outputs // 2
        depthwise = conv_norm(inputs, inputs, kernel=3, stride=stride, groups=inputs) if stride > 1 else []
        beside = [*depthwise, *conv_norm(inputs, half), nn.ReLU(inplace=True)] if stride > 1 else []
        self.branch1 = nn.Sequential(*beside)
        self.branch2 = nn.Sequential(
            *conv_norm(inputs if stride > 1 else half, half),
            nn.ReLU(inplace=True),
            *conv_norm(half, half, kernel=3, stride=stride, groups=half),
            *conv_norm(half, half),
            nn.ReLU(inplace=True),
            *([Excitation(half)] if se else []),
        )

    def forward(self, x: Tensor) -> Tensor:
        if self.stride == 1:
            passed, convolved = x.chunk(2, 1)
            y = torch.cat([passed, self.branch2(convolved)], 1)
        else:
            y = torch.cat([self.branch1(x), self.branch2(x)], 1)
        return shuffle(y, 2)


class Excitation(nn.Module):
    """Weigh each channel by what the whole picture says: y = x * sigmoid(W2 relu(W1 mean(x))).

    Source: Hu et al., "Squeeze-and-Excitation Networks", CVPR 2018, arXiv:1709.01507.

    Args:
        channels: C; the layer between has C / 4.
    Shape:
        x: (B, C, H, W). Returns: the same shape.
    """

    def __init__(self, channels: int):
        super().__init__()
        self.squeeze, self.activation = nn.Conv2d(channels, channels // 4, 1), nn.ReLU(inplace=True)
        self.excite, self.gate = nn.Conv2d(channels // 4, channels, 1), nn.Sigmoid()

    def forward(self, x: Tensor) -> Tensor:
        mean = x.mean((2, 3), keepdim=True)
        return x * self.gate(self.excite(self.activation(self.squeeze(mean))))


class ShuffleNetV2(nn.Module):
    """See `shufflenet_v2`, which builds it.

    Attributes:
        published: torchvision's name for this network, where its weights fit; else None.
        whole_head: the layer that published weights have in another form, and which stays fresh then; or None.
    """

    published: str | None = None
    whole_head: str | None = None

    def __init__(self, widths: tuple[int, ...], in_chans: int, fc: nn.Module, *, se: bool):
        super().__init__()
        self.conv1 = nn.Sequential(*conv_norm(in_chans, STEM, kernel=3, stride=2), nn.ReLU(inplace=True))
        self.maxpool = nn.MaxPool2d(kernel_size=3, stride=2, padding=1)
        inputs = (STEM, *widths)
        self.stage2, self.stage3, self.stage4 = (
            nn.Sequential(
                Unit(inputs[stage], width, stride=2, se=se),
                *(Unit(width, width, stride=1, se=se) for _ in range(units - 1)),
            )
            for stage, (width, units) in enumerate(zip(widths[:3], UNITS, strict=True))
        )
        self.conv5 = nn.Sequential(*conv_norm(widths[2], widths[3]), nn.ReLU(inplace=True))
        self.fc = fc

    def forward(self, x: Tensor) -> Tensor:
        x = self.maxpool(self.conv1(x))
        x = self.conv5(self.stage4(self.stage3(self.stage2(x))))
        return self.fc(x.mean((2, 3)))


@models.add("shufflenet_v2")
def shufflenet_v2(
    num_classes: int,
    in_chans: int = 3,
    *,
    input_size: int = 224,
    width: float = 1.0,
    se: bool = False,
    head: str = "linear",
    dropout: float = 0.5,
) -> nn.Module:
    """ShuffleNetV2; the defaults are torchvision's shufflenet_v2_x1_0, 1,263,854 parameters at 10 classes.

    Source: Ma et al., "ShuffleNet V2: Practical Guidelines for Efficient CNN Architecture Design", ECCV 2018,
    arXiv:1807.11164. The widths of 2.0 are torchvision's.

    Args:
        input_size: pixels a side that the network is meant for; any from 32 works, as the pooling is global.
        width: 0.5, 1.0, 1.5 or 2.0.
        se: squeeze-and-excitation in every unit.
        head: linear; or hidden, for frozen features: a layer of `hidden_width(num_classes)` before the last one.
        dropout: between the two layers of the hidden head, in [0, 1].
    Shape:
        x: (B, C, H, W), H and W >= 32. Returns: (B, K).
    Raises:
        UserError: a width or a head that does not exist.
    """
    problems = [
        f"width: {width} does not exist. {suggest(str(width), map(str, WIDTHS))}" * (width not in WIDTHS),
        f"head: '{head}' is not an option. {suggest(head, HEADS)}" * (head not in HEADS),
    ]
    if any(problems):
        raise UserError("model shufflenet_v2", *filter(None, problems))
    widths = WIDTHS[width]
    fc = hidden_head(widths[3], num_classes, dropout) if head == "hidden" else nn.Linear(widths[3], num_classes)
    model = ShuffleNetV2(widths, in_chans, fc, se=se)
    if not se:
        model.published = f"shufflenet_v2_x{width:.1f}".replace(".", "_")
    if head == "hidden":
        model.whole_head = "fc"
    return model


def hidden_head(features: int, num_classes: int, dropout: float = 0.5) -> nn.Sequential:
    """Linear -> ReLU -> Dropout -> Linear: what is trained on top of frozen features.

    Shape:
        x: (B, features). Returns: (B, num_classes).
    """
    hidden = hidden_width(num_classes)
    layers = [nn.Linear(features, hidden), nn.ReLU(inplace=True), nn.Dropout(dropout), nn.Linear(hidden, num_classes)]
    return nn.Sequential(*layers)


def hidden_width(num_classes: int) -> int:
    """Width of the hidden head's first layer: 2 ** (10 - floor(log2(ratio))), ratio = max(1, floor(sqrt(1024 / K))).

    Unlike the code that published this rule: above 1,024 classes the ratio is 1 and not 0, whose logarithm it took.

    Example:
        >>> hidden_width(10), hidden_width(100), hidden_width(5000)
        (128, 512, 1024)
    """
    ratio = max(1, math.isqrt(1024 // num_classes))
    return 2 ** (10 - int(math.log2(ratio)))
