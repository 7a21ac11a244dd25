"""What went wrong, picture by picture, and where the network looked."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .answers import Answers

WORST, PAIRS = 24, 20


def worst_errors(answers: Answers, names: Sequence[str], classes: Sequence[str], most: int = WORST) -> list[dict]:
    """The wrong answers whose true class got the least probability, worst first.

    Returns: {"index", "name", "true", "predicted", "confidence", "loss"}; index counts in the split, from 0.
    """
    wrong = np.flatnonzero(~answers.right)
    worst = wrong[np.argsort(-answers.loss[wrong], kind="stable")][:most]
    return [
        {
            "index": int(i),
            "name": names[int(i)],
            "true": classes[answers.targets[i]],
            "predicted": classes[answers.predicted[i]],
            "confidence": float(answers.confidence[i]),
            "loss": float(answers.loss[i]),
        }
        for i in worst
    ]


def most_confused(confusion: Sequence[Sequence[int]], classes: Sequence[str], most: int = PAIRS) -> list[dict]:
    """Which class is taken for which, most often first: {"true", "predicted", "n", "of"}; `of` is the true class's."""
    table = np.array(confusion)
    apart = table * (1 - np.eye(len(table), dtype=table.dtype))
    order = np.argsort(-apart, axis=None, kind="stable")[:most]
    pairs = [divmod(int(place), len(table)) for place in order if apart.flat[place]]
    return [
        {"true": classes[i], "predicted": classes[j], "n": int(table[i, j]), "of": int(table[i].sum())}
        for i, j in pairs
    ]


def last_map(net: nn.Module, images: Tensor) -> str | None:
    """The convolution that is computed last and gives a map of more than one place; None for networks without.

    A convolution that only cuts the picture into patches, as that of a vision transformer, is none.

    Shape:
        images: (B, C, H, W) as the network takes them.
    """
    called: list[tuple[str, bool]] = []

    def note(name: str, module: nn.Module):
        def hook(_, __, output):
            is_map = isinstance(module, nn.Conv2d) and output.ndim == 4 and output[0, 0].numel() > 1
            called.append((name, is_map))

        return hook

    weighted = [(n, m) for n, m in net.named_modules() if isinstance(m, nn.Conv2d | nn.Linear | nn.MultiheadAttention)]
    hooks = [module.register_forward_hook(note(name, module)) for name, module in weighted]
    try:
        with torch.inference_mode():
            net(images)
    finally:
        for hook in hooks:
            hook.remove()
    maps = [place for place, (_, is_map) in enumerate(called) if is_map]
    return called[maps[-1]][0] if maps and maps[-1] >= (len(called) - 1) / 2 else None


def grad_cam(net: nn.Module, layer: str, images: Tensor, classes: Tensor) -> np.ndarray:
    """Where the network saw a class: Grad-CAM maps at the size of the pictures, each scaled to a maximum of 1.

    cam = relu(sum_k a_k A_k), A the maps of the layer, a_k the mean over places of d logit / d A_k; enlarged
    bilinearly. A map that is 0 everywhere stays so: nothing there spoke for the class.

    Source: Selvaraju et al., "Grad-CAM", arXiv:1610.02391; computed by captum's LayerGradCam.

    Shape:
        images: (B, C, H, W) as the network takes them. classes: (B,) int64. Returns: (B, H, W) float32 in [0, 1].
    """
    from captum.attr import LayerGradCam

    with torch.enable_grad():
        maps = LayerGradCam(net, net.get_submodule(layer)).attribute(
            images.clone().requires_grad_(), target=classes, relu_attributions=True
        )
    maps = F.interpolate(maps.detach().float(), size=images.shape[2:], mode="bilinear", align_corners=False)[:, 0]
    return (maps / maps.amax((1, 2), keepdim=True).clamp_min(1e-12)).cpu().numpy()
