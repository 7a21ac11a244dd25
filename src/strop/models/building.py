"""Build networks with torch: one function for each place they come from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..errors import UserError, suggest
from . import WANT_HALVES, known, models, pretrained


def build(
    library: str,
    name: str,
    num_classes: int,
    in_chans: int,
    size: int,
    weights: bool | str | Path,
    options: dict[str, Any],
) -> nn.Module:
    """Build `name` of `library`; see `strop.models.build` for the arguments.

    Raises:
        UserError: an unknown option; weights that don't fit or can't be had.
    """
    if weights is True and in_chans != 3:
        raise UserError("in_chans", f"{in_chans}: published weights want 3. Repeat grey pictures to three channels.")
    builder = {"strop": _build_own, "torchvision": _build_torchvision, "timm": _build_timm}[library]
    try:
        model = builder(name, num_classes, in_chans, size, weights is True, dict(options))
    except (TypeError, ValueError) as error:
        if not options:
            raise
        raise UserError(f"model {name}", f"options {sorted(options)} were refused by {library}: {error}") from error
    if isinstance(weights, str | Path):
        pretrained.load_file(model, Path(weights), num_classes)
    return model


def _build_own(
    name: str, num_classes: int, in_chans: int, size: int, with_weights: bool, options: dict[str, Any]
) -> nn.Module:
    accepted = models.entries()[name].options
    problems = [f"'{key}' is unknown. {suggest(key, accepted)}" for key in options if key not in accepted]
    if problems:
        raise UserError(f"model {name}", *problems)
    model = models.get(name)(num_classes, in_chans, input_size=size, **options)
    if with_weights:
        published = getattr(model, "published", None)
        if published is None:
            so = f"'{name}'" + " with these options" * (known(name)[0].weights is not None)
            raise UserError("pretrained", f"{so} has no published weights. Write the path of a .safetensors file.")
        pretrained.load_torchvision(model, published, num_classes, {})
    return model


def _build_torchvision(
    name: str, num_classes: int, in_chans: int, size: int, with_weights: bool, options: dict[str, Any]
) -> nn.Module:
    import torchvision

    sized = dict(options)
    if name in WANT_HALVES:  # the outputs of extra heads would not be a tensor of logits
        sized |= {"aux_logits": False, "transform_input": False, "init_weights": True}
    if name.startswith("vit_"):
        sized["image_size"] = size
    if name.startswith("maxvit"):
        sized["input_size"] = (size, size)
    model = torchvision.models.get_model(name, weights=None, num_classes=num_classes, **sized)
    if in_chans != 3:
        _replace_first_conv(model, in_chans)
    if with_weights:
        pretrained.load_torchvision(model, name, num_classes, options)
    return model


def _build_timm(
    name: str, num_classes: int, in_chans: int, size: int, with_weights: bool, options: dict[str, Any]
) -> nn.Module:
    import timm

    config = _timm_config(name)
    if config.fixed_input_size and tuple(config.input_size[1:]) != (size, size):
        options["img_size"] = size
    if not with_weights:
        return timm.create_model(name, num_classes=num_classes, in_chans=in_chans, **options)
    return pretrained.create_timm(name, num_classes, config, options)


def timm_input_size(name: str) -> int:
    """Pixels a side (the longer one) of the weights that `name` stands for."""
    return max(_timm_config(name).input_size[1:])


def timm_preprocessing(name: str) -> dict[str, list[float]]:
    """The mean and std that these weights expect."""
    config = _timm_config(name)
    return {"mean": list(config.mean), "std": list(config.std)}


def timm_outputs(name: str) -> int | None:
    """How many classes these weights answer; None where there are no weights."""
    config = _timm_config(name)
    return config.num_classes if config.has_weights else None


def _timm_config(name: str) -> Any:
    import timm

    try:
        return timm.get_pretrained_cfg(name, allow_unregistered=False)
    except RuntimeError as error:
        tags = timm.list_pretrained(f"{name.partition('.')[0]}.*")
        raise UserError("model", f"'{name}' has an unknown tag. {suggest(name, tags)}") from error


def _replace_first_conv(model: nn.Module, in_chans: int) -> None:
    """Give the first convolution `in_chans` inputs, initialised as torchvision's ResNet does (He, fan out)."""
    path, old = next((path, module) for path, module in model.named_modules() if isinstance(module, nn.Conv2d))
    new = nn.Conv2d(
        in_chans, old.out_channels, old.kernel_size, old.stride, old.padding, old.dilation,
        bias=old.bias is not None, padding_mode=old.padding_mode,
    )  # fmt: skip
    nn.init.kaiming_normal_(new.weight, mode="fan_out", nonlinearity="relu")
    if new.bias is not None:
        with torch.no_grad():
            new.bias.zero_()
    parent, _, leaf = path.rpartition(".")
    setattr(model.get_submodule(parent), leaf, new)
