"""The CIFAR networks of the ResNet paper, 6 n + 2 layers in stages of 16, 32 and 64 channels, and their plain twins.

Source: He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, arXiv:1512.03385, section 4.2; table 6
gives 0.27, 0.46, 0.66, 0.85 and 1.7 M parameters for 20, 32, 44, 56 and 110 layers. Their shortcut is option A, which
has no parameters: 269,722, 464,154, 658,586, 853,018 and 1,727,962 at 10 classes. Option B, a 1x1 convolution with
its batch norm at the two places where the width changes, adds 2,752.
"""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import UserError, suggest
from . import models

WIDTHS = (16, 32, 64)
SHORTCUTS = ("A", "B", "none")


class PaddedShortcut(nn.Module):
    """Option A: every second pixel, and zeros for the channels that are new.

    Shape:
        x: (B, C, H, W). Returns: (B, outputs, H / 2, W / 2), rounded up.
    """

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.missing = outputs - inputs

    def forward(self, x: Tensor) -> Tensor:
        before = self.missing // 2
        return F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, before, self.missing - before))


class Block(nn.Module):
    """y = relu(norm(conv3x3(relu(norm(conv3x3(x))))) + shortcut(x)), or without the addition.

    Args:
        inputs, outputs: channels.
        stride: of the first convolution; 2 where the width changes.
        shortcut: A, B or none.
    """

    def __init__(self, inputs: int, outputs: int, *, stride: int, shortcut: str):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, kernel_size=3, stride=stride, padding=1, bias=False)
        self.bn1, self.relu1 = nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(outputs, outputs, kernel_size=3, padding=1, bias=False)
        self.bn2, self.relu2 = nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)
        self.shortcut = None if shortcut == "none" else _shortcut(inputs, outputs, stride, shortcut)

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv2(self.relu1(self.bn1(self.conv1(x)))))
        return self.relu2(y if self.shortcut is None else y + self.shortcut(x))


def _shortcut(inputs: int, outputs: int, stride: int, option: str) -> nn.Module:
    if stride == 1:
        return nn.Identity()
    if option == "A":
        return PaddedShortcut(inputs, outputs)
    return nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))


class ResNetCifar(nn.Module):
    """6 n + 2 layers: a 3x3 convolution, three stages of n blocks, a linear layer on the mean.

    Args:
        depth: 6 n + 2.
        shortcut: A, B or none.
    Shape:
        x: (B, C, H, W), meant for 32x32. Returns: (B, K).
    """

    def __init__(self, depth: int, num_classes: int, in_chans: int, *, shortcut: str):
        super().__init__()
        if shortcut not in SHORTCUTS:
            raise UserError(
                f"model resnet{depth}", f"shortcut: '{shortcut}' is not an option. {suggest(shortcut, SHORTCUTS)}"
            )
        blocks = (depth - 2) // 6
        self.conv1 = nn.Conv2d(in_chans, WIDTHS[0], kernel_size=3, padding=1, bias=False)
        self.bn1, self.relu = nn.BatchNorm2d(WIDTHS[0]), nn.ReLU(inplace=True)
        self.layer1, self.layer2, self.layer3 = (
            nn.Sequential(
                Block(inputs, outputs, stride=1 if inputs == outputs else 2, shortcut=shortcut),
                *(Block(outputs, outputs, stride=1, shortcut=shortcut) for _ in range(blocks - 1)),
            )
            for inputs, outputs in pairwise((WIDTHS[0], *WIDTHS))
        )
        self.fc = nn.Linear(WIDTHS[-1], num_classes)
        # Zeros have no channels that could go with those they are padded to: what is added up keeps its width.
        sums = ["conv1", *(name for name, _ in self.named_modules() if name.endswith(".conv2"))]
        self.fixed_widths = tuple(sums) if shortcut == "A" else ()
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(module.weight)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.bn1(self.conv1(x)))
        return self.fc(self.layer3(self.layer2(self.layer1(x))).mean((2, 3)))


@models.add("resnet20")
def resnet20(num_classes: int, in_chans: int = 3, *, input_size: int = 32, shortcut: str = "A") -> ResNetCifar:
    """ResNet-20 for CIFAR; 269,722 parameters at 10 classes (with shortcut B 272,474)."""
    return ResNetCifar(20, num_classes, in_chans, shortcut=shortcut)


@models.add("resnet32")
def resnet32(num_classes: int, in_chans: int = 3, *, input_size: int = 32, shortcut: str = "A") -> ResNetCifar:
    """ResNet-32 for CIFAR; 464,154 parameters at 10 classes (with shortcut B 466,906)."""
    return ResNetCifar(32, num_classes, in_chans, shortcut=shortcut)


@models.add("resnet44")
def resnet44(num_classes: int, in_chans: int = 3, *, input_size: int = 32, shortcut: str = "A") -> ResNetCifar:
    """ResNet-44 for CIFAR; 658,586 parameters at 10 classes (with shortcut B 661,338)."""
    return ResNetCifar(44, num_classes, in_chans, shortcut=shortcut)


@models.add("resnet56")
def resnet56(num_classes: int, in_chans: int = 3, *, input_size: int = 32, shortcut: str = "A") -> ResNetCifar:
    """ResNet-56 for CIFAR; 853,018 parameters at 10 classes (with shortcut B 855,770)."""
    return ResNetCifar(56, num_classes, in_chans, shortcut=shortcut)


@models.add("resnet110")
def resnet110(num_classes: int, in_chans: int = 3, *, input_size: int = 32, shortcut: str = "A") -> ResNetCifar:
    """ResNet-110 for CIFAR; 1,727,962 parameters at 10 classes (with shortcut B 1,730,714)."""
    return ResNetCifar(110, num_classes, in_chans, shortcut=shortcut)


@models.add("plain20")
def plain20(num_classes: int, in_chans: int = 3, *, input_size: int = 32) -> ResNetCifar:
    """The layers of resnet20 without its shortcuts; 269,722 parameters at 10 classes."""
    return ResNetCifar(20, num_classes, in_chans, shortcut="none")


@models.add("plain32")
def plain32(num_classes: int, in_chans: int = 3, *, input_size: int = 32) -> ResNetCifar:
    """The layers of resnet32 without its shortcuts; 464,154 parameters at 10 classes."""
    return ResNetCifar(32, num_classes, in_chans, shortcut="none")


@models.add("plain44")
def plain44(num_classes: int, in_chans: int = 3, *, input_size: int = 32) -> ResNetCifar:
    """The layers of resnet44 without its shortcuts; 658,586 parameters at 10 classes."""
    return ResNetCifar(44, num_classes, in_chans, shortcut="none")


@models.add("plain56")
def plain56(num_classes: int, in_chans: int = 3, *, input_size: int = 32) -> ResNetCifar:
    """The layers of resnet56 without its shortcuts; 853,018 parameters at 10 classes."""
    return ResNetCifar(56, num_classes, in_chans, shortcut="none")


@models.add("plain110")
def plain110(num_classes: int, in_chans: int = 3, *, input_size: int = 32) -> ResNetCifar:
    """The layers of resnet110 without its shortcuts; 1,727,962 parameters at 10 classes."""
    return ResNetCifar(110, num_classes, in_chans, shortcut="none")
