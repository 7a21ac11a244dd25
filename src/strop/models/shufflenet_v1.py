"""ShuffleNet (the first): 1x1 convolutions in groups, and a shuffle so that the groups hear of each other."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..errors import UserError, suggest
from . import models
from .shuffling import conv_norm, shuffle

# Channels of the three stages at width 1, by the number of groups; units of each stage.
WIDTHS = {1: (144, 288, 576), 2: (200, 400, 800), 3: (240, 480, 960), 4: (272, 544, 1088), 8: (384, 768, 1536)}
UNITS = (4, 8, 4)
STEM = 24


class Unit(nn.Module):
    """A bottleneck of grouped 1x1, shuffle, depthwise 3x3 and grouped 1x1, beside a shortcut.

    f(x) = norm(g1x1(norm(dw3x3(shuffle(relu(norm(g1x1(x)))))));
    stride 1: y = relu(x + f(x)); stride 2: y = relu(concat(avgpool3x3(x), f(x))).

    Args:
        inputs, outputs: channels; f makes `outputs` of them at stride 1, `outputs - inputs` at stride 2.
        groups: of the 1x1 convolutions and of the shuffle; the bottleneck (outputs / 4) is a multiple of it.
        first_groups: of the first 1x1 convolution; 1 where its input is as narrow as the stem.
    Shape:
        x: (B, inputs, H, W). Returns: (B, outputs, H / stride, W / stride), rounded up.
    """

    def __init__(self, inputs: int, outputs: int, *, stride: int, groups: int, first_groups: int):
        super().__init__()
        self.groups, middle = groups, outputs // 4
        made = outputs - inputs if stride == 2 else outputs
        self.reduce = nn.Sequential(*conv_norm(inputs, middle, groups=first_groups), nn.ReLU(inplace=True))
        self.depthwise = nn.Sequential(*conv_norm(middle, middle, kernel=3, stride=stride, groups=middle))
        self.expand = nn.Sequential(*conv_norm(middle, made, groups=groups))
        self.pool = nn.AvgPool2d(kernel_size=3, stride=2, padding=1) if stride == 2 else None
        self.activation = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        made = self.expand(self.depthwise(shuffle(self.reduce(x), self.groups)))
        return self.activation(x + made if self.pool is None else torch.cat([self.pool(x), made], 1))


class ShuffleNetV1(nn.Module):
    """See `shufflenet_v1`, which builds it."""

    def __init__(self, stem: int, widths: tuple[int, ...], groups: int, num_classes: int, in_chans: int):
        super().__init__()
        self.conv1 = nn.Sequential(*conv_norm(in_chans, stem, kernel=3, stride=2), nn.ReLU(inplace=True))
        self.maxpool = nn.MaxPool2d(kernel_size=3, stride=2, padding=1)
        inputs = (stem, *widths)
        self.stage2, self.stage3, self.stage4 = (
            nn.Sequential(
                Unit(inputs[stage], width, stride=2, groups=groups, first_groups=groups if stage else 1),
                *(Unit(width, width, stride=1, groups=groups, first_groups=groups) for _ in range(units - 1)),
            )
            for stage, (width, units) in enumerate(zip(widths, UNITS, strict=True))
        )
        self.fc = nn.Linear(widths[-1], num_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stage4(self.stage3(self.stage2(self.maxpool(self.conv1(x)))))
        return self.fc(x.mean((2, 3)))


@models.add("shufflenet_v1")
def shufflenet_v1(
    num_classes: int, in_chans: int = 3, *, input_size: int = 224, groups: int = 3, width: float = 1.0
) -> nn.Module:
    """ShuffleNet with grouped 1x1 convolutions; 1,865,728 parameters at 1,000 classes with 3 groups.

    Source: Zhang et al., "ShuffleNet: An Extremely Efficient Convolutional Neural Network for Mobile Devices",
    CVPR 2018, arXiv:1707.01083, table 1.

    Args:
        input_size: pixels a side that the network is meant for; any from 32 works, as the pooling is global.
        groups: 1, 2, 3, 4 or 8; more groups are wider stages at about equal MACs.
        width: factor on all channels, the stem's too; above 0. Every bottleneck (a quarter of a stage's channels)
            has to be a multiple of `groups`.
    Shape:
        x: (B, C, H, W), H and W >= 32. Returns: (B, K).
    Raises:
        UserError: a number of groups that was not published, or a width that does not divide into them.
    """
    if groups not in WIDTHS:
        raise UserError(
            "model shufflenet_v1", f"groups: {groups} is not an option. {suggest(str(groups), map(str, WIDTHS))}"
        )
    stem, widths = int(STEM * width), tuple(int(channels * width) for channels in WIDTHS[groups])
    uneven = [channels for channels in widths if channels % (4 * groups)]
    if stem < 1 or uneven or (widths[0] - stem) % groups:
        raise UserError(
            "model shufflenet_v1",
            f"width: {width} gives stages of {', '.join(map(str, widths))} channels, which do not divide into "
            f"{groups} groups. Write another factor, such as 0.25, 0.5, 1 or 2.",
        )
    return ShuffleNetV1(stem, widths, groups, num_classes, in_chans)
