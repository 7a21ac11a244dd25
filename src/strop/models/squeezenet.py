"""SqueezeNet: few channels in front of every 3x3 convolution, and no linear layer at all."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..errors import UserError, suggest
from . import models

BYPASSES = ("none", "simple", "complex")
# Layout by its version: width, kernel of the first convolution, and the fires (1 to 8) that a pooling follows.
STEMS = {"1.0": (96, 7, (3, 7)), "1.1": (64, 3, (2, 4))}
FIRES = 8


class Fire(nn.Module):
    """Squeeze to few channels, then expand by 1x1 and by 3x3 and put both side by side.

    y = concat(relu(conv1x1(s)), relu(conv3x3(s))) [+ bypass(x)], s = relu(conv1x1(x))

    Args:
        inputs: C.
        squeeze, expand1x1, expand3x3: channels of the three convolutions.
        bypass: "none"; "simple" adds x where it is as wide as y; "complex" also adds a 1x1 convolution of x elsewhere.
    Shape:
        x: (B, C, H, W). Returns: (B, expand1x1 + expand3x3, H, W).
    """

    def __init__(self, inputs: int, squeeze: int, expand1x1: int, expand3x3: int, bypass: str = "none"):
        super().__init__()
        outputs = expand1x1 + expand3x3
        self.squeeze = nn.Conv2d(inputs, squeeze, kernel_size=1)
        self.squeeze_activation = nn.ReLU(inplace=True)
        self.expand1x1 = nn.Conv2d(squeeze, expand1x1, kernel_size=1)
        self.expand1x1_activation = nn.ReLU(inplace=True)
        self.expand3x3 = nn.Conv2d(squeeze, expand3x3, kernel_size=3, padding=1)
        self.expand3x3_activation = nn.ReLU(inplace=True)
        self.bypass = None
        if bypass != "none" and inputs == outputs:
            self.bypass = nn.Identity()
        elif bypass == "complex":
            self.bypass = nn.Conv2d(inputs, outputs, kernel_size=1)

    def forward(self, x: Tensor) -> Tensor:
        squeezed = self.squeeze_activation(self.squeeze(x))
        ones = self.expand1x1_activation(self.expand1x1(squeezed))
        threes = self.expand3x3_activation(self.expand3x3(squeezed))
        y = torch.cat([ones, threes], 1)
        return y if self.bypass is None else y + self.bypass(x)


@models.add("squeezenet")
def squeezenet(
    num_classes: int,
    in_chans: int = 3,
    *,
    input_size: int = 224,
    base_e: int = 128,
    incr_e: int = 128,
    freq: int = 2,
    pct3x3: float = 0.5,
    sr: float = 0.125,
    bypass: str = "none",
    stem: str = "1.1",
    final_relu: bool = True,
    dropout: float = 0.5,
) -> nn.Module:
    """SqueezeNet by its published parameters; the defaults are torchvision's squeezenet1_1, 727,626 at 10 classes.

    Fire i = 1 to 8 expands to e_i = base_e + incr_e * floor((i - 1) / freq) channels, a share pct3x3 of them by 3x3
    convolutions, from a squeeze to sr * e_i channels.

    Source: Iandola et al., "SqueezeNet: AlexNet-level accuracy with 50x fewer parameters", 2016, arXiv:1602.07360.
    Unlike published code in which both halves of a fire share a ReLU: each convolution has its own, so that the two can
    be fused. Unlike the paper: its "7.7 MB" for the complex bypass is not what a 1x1 convolution at the four fires that
    change their width gives (6.36 MB at 1,000 classes, stem 1.0); we build those four.

    Args:
        input_size: pixels a side that the network is meant for; any from 32 works, as the pooling is global.
        base_e, incr_e, freq: channels of the first fires, by how much they grow, and every how many fires; >= 1
            (incr_e >= 0).
        pct3x3: share of 3x3 among the expanding filters; above 0, below 1.
        sr: squeeze ratio; above 0, at most 1.
        bypass: none, simple or complex; see `Fire`.
        stem: 1.0 (7x7, pooling after fires 3 and 7) or 1.1 (3x3, pooling earlier, less than half of the MACs).
        final_relu: a ReLU on the class maps, as published. Logits are then never below 0, and a class whose map is
            all below 0 gets no gradient: switch it off to fine-tune.
        dropout: before the classifier, in [0, 1].
    Shape:
        x: (B, C, H, W), H and W >= 32. Returns: (B, K).
    Raises:
        UserError: an option out of its range.
    """
    _check(base_e, incr_e, freq, pct3x3, sr, bypass, stem)
    width, kernel, pooled = STEMS[stem]
    first = nn.Conv2d(in_chans, width, kernel_size=kernel, stride=2)
    layers = [first, nn.ReLU(inplace=True), _pool()]
    for number in range(1, FIRES + 1):
        expand = base_e + incr_e * ((number - 1) // freq)
        threes = min(max(round(pct3x3 * expand), 1), expand - 1)
        layers.append(Fire(width, max(round(sr * expand), 1), expand - threes, threes, bypass))
        width = expand
        layers += [_pool()] * (number in pooled)
    last = nn.Conv2d(width, num_classes, kernel_size=1)
    activation = nn.ReLU(inplace=True) if final_relu else nn.Identity()
    classifier = nn.Sequential(nn.Dropout(dropout), last, activation, nn.AdaptiveAvgPool2d(1))
    model = SqueezeNet(nn.Sequential(*layers), classifier)
    if (base_e, incr_e, freq, pct3x3, sr, bypass) == (128, 128, 2, 0.5, 0.125, "none"):
        model.published = f"squeezenet{stem.replace('.', '_')}"
    _initialise(model, last)
    return model


class SqueezeNet(nn.Module):
    """Fires, then a 1x1 convolution to a map for each class, whose mean is the logit.

    Attributes:
        published: torchvision's name for this network, where its weights fit; else None.
    """

    published: str | None = None

    def __init__(self, features: nn.Sequential, classifier: nn.Sequential):
        super().__init__()
        self.features, self.classifier = features, classifier

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.features(x)).flatten(1)


def _check(base_e: int, incr_e: int, freq: int, pct3x3: float, sr: float, bypass: str, stem: str) -> None:
    problems = [
        f"base_e: {base_e} is too small. Write 2 or more." * (base_e < 2),
        f"incr_e: {incr_e} is below 0. Write 0 or more." * (incr_e < 0),
        f"freq: {freq} is too small. Write 1 or more." * (freq < 1),
        f"pct3x3: {pct3x3} is out of range. It is a share above 0 and below 1." * (not 0 < pct3x3 < 1),
        f"sr: {sr} is out of range. It is a ratio above 0 and at most 1." * (not 0 < sr <= 1),
        f"bypass: '{bypass}' is not an option. {suggest(bypass, BYPASSES)}" * (bypass not in BYPASSES),
        f"stem: '{stem}' is not an option. {suggest(stem, STEMS)}" * (stem not in STEMS),
    ]
    if any(problems):
        raise UserError("model squeezenet", *filter(None, problems))


def _pool() -> nn.MaxPool2d:
    return nn.MaxPool2d(kernel_size=3, stride=2, ceil_mode=True)


def _initialise(model: nn.Module, last: nn.Conv2d) -> None:
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            if module is last:
                nn.init.normal_(module.weight, std=0.01)
            else:
                nn.init.kaiming_uniform_(module.weight)
            nn.init.zeros_(module.bias)
