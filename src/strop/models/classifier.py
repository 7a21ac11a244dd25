"""A network together with the preprocessing that it was trained with."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import Tensor

from .freezing import stay_frozen


@dataclass(frozen=True)
class Preprocess:
    """What happens to a picture before the network sees it.

    The shorter side is scaled to `input_size`, the centre is cropped, and
    x = (pixel / 255 - mean) / std for each channel.

    Attributes:
        input_size: pixels a side.
        channels: 1 (grey) or 3 (RGB).
        mean, std: one number a channel, in [0, 1].
        alpha: colour below the transparent parts of a picture: "white", "black" or "#rrggbb".
    """

    input_size: int
    channels: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    alpha: str = "white"

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.channels, self.input_size, self.input_size


class Classifier(nn.Module):
    """uint8 pictures in, logits out.

    Only `net` has a state; the preprocessing is a constant of the model and travels in model.json.

    Args:
        net: takes float pictures normalised by `preprocess`.
        classes: names in the order of the logits.
    Shape:
        images: (B, C, H, W) uint8; C = 1 is repeated where the network wants 3, other sizes are resampled.
        Returns: (B, K) logits.
    """

    memory_format = torch.channels_last

    def __init__(self, net: nn.Module, preprocess: Preprocess, classes: tuple[str, ...]):
        super().__init__()
        self.net, self.preprocess, self.classes = net, preprocess, tuple(classes)
        shape = (1, preprocess.channels, 1, 1)
        mean, std = (torch.tensor(values).view(shape) for values in (preprocess.mean, preprocess.std))
        self.register_buffer("scale", 1 / (255 * std), persistent=False)
        self.register_buffer("shift", -mean / std, persistent=False)

    def train(self, mode: bool = True) -> Classifier:
        """Like torch's, but what is frozen stays in eval mode, whoever asks."""
        super().train(mode)
        if mode:
            stay_frozen(self.net)
        return self

    def normalize(self, images: Tensor) -> Tensor:
        """uint8 (B, C, H, W) to what `net` takes."""
        _, channels, size, _ = (0, *self.preprocess.shape)
        if images.shape[1] != channels:
            images = images.expand(-1, channels, -1, -1) if images.shape[1] == 1 else _to_grey(images)
        images = torch.addcmul(self.shift, images.float(), self.scale)
        if images.shape[-1] != size:
            images = F.interpolate(images, size=(size, size), mode="bilinear", antialias=True)
        return images.contiguous(memory_format=self.memory_format)

    def forward(self, images: Tensor) -> Tensor:
        return self.net(self.normalize(images))


def _to_grey(images: Tensor) -> Tensor:
    """ITU-R 601 luma."""
    weights = torch.tensor([0.299, 0.587, 0.114], device=images.device).view(1, 3, 1, 1)
    return (images.float() * weights).sum(1, keepdim=True).round()
