"""ResNets for small pictures: the first layer keeps the resolution, so 32x32 is enough for four stages.

Source: He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, arXiv:1512.03385, with the stem that is
customary for CIFAR. Unlike the paper's own CIFAR networks: four stages of 64 to 512 channels, as at 224x224.
"""

from __future__ import annotations

import torchvision
from torch import nn

from . import models


@models.add("resnet18_small")
def resnet18_small(num_classes: int, in_chans: int = 3, *, input_size: int = 32) -> nn.Module:
    """ResNet-18 with a 3x3 stride-1 stem and no max pooling; 11,173,962 parameters at 10 classes."""
    return _with_small_stem(torchvision.models.resnet18(num_classes=num_classes), in_chans)


@models.add("resnet34_small")
def resnet34_small(num_classes: int, in_chans: int = 3, *, input_size: int = 32) -> nn.Module:
    """ResNet-34 with a 3x3 stride-1 stem and no max pooling; 21,282,122 parameters at 10 classes."""
    return _with_small_stem(torchvision.models.resnet34(num_classes=num_classes), in_chans)


def _with_small_stem(model: nn.Module, in_chans: int) -> nn.Module:
    """`input_size` of the builders only says what the network is meant for: global pooling takes any."""
    model.conv1 = nn.Conv2d(in_chans, 64, kernel_size=3, padding=1, bias=False)
    nn.init.kaiming_normal_(model.conv1.weight, mode="fan_out", nonlinearity="relu")
    model.maxpool = nn.Identity()
    return model
