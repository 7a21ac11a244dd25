"""Save a model without a pickle, and rebuild it exactly.

model.safetensors holds the tensors. model.json holds the builder's name and arguments, every
attribute in which the module differs from what the builder makes (the widths of a pruned layer,
for example), the preprocessing, the class names, and a golden output that loading must reproduce.
"""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

import safetensors
import torch
import torch.nn as nn
from torch import Tensor

from .errors import UserError
from .models import build
from .models.blocks import remove_blocks
from .models.classifier import Classifier, Preprocess
from .models.factoring import factor
from .models.tied import tie, tied_parameters, to_bytes, with_tied
from .runs import file_hash, read_json, write_json, write_whole

MAX_TENSORS = 20_000
GOLDEN_TOLERANCE = 1e-3
Scalar = bool | int | float | str | None


def save(folder: Path, model: Classifier, builder: dict[str, Any]) -> dict:
    """Write model.safetensors and model.json; returns the description.

    Args:
        builder: {"name": ..., "options": {...}}: the arguments of `models.build` that give the
            module before pruning; "ranks" names layers that were factored, "without" blocks that were taken out.
    """
    write_whole(folder / "model.safetensors", to_bytes(model.net.state_dict()))
    description = describe(model, builder) | {
        "golden": golden_output(model),
        "tensors": file_hash(folder / "model.safetensors"),
    }
    write_json(folder / "model.json", description)
    return description


def describe(model: Classifier, builder: dict[str, Any]) -> dict:
    """How to rebuild the network around its tensors: model.json without what depends on their values."""
    return {
        "format": 1,
        "builder": builder,
        "attributes": _changed_attributes(model.net, _blank(builder)),
        "preprocess": {
            "input_size": model.preprocess.input_size,
            "channels": model.preprocess.channels,
            "mean": list(model.preprocess.mean),
            "std": list(model.preprocess.std),
            "alpha": model.preprocess.alpha,
        },
        "classes": list(model.classes),
    }


def load(folder: str | os.PathLike, *, verify: bool = True) -> Classifier:
    """Rebuild the float model of a run folder, in eval mode.

    Raises:
        UserError: the folder is no float model, a file is damaged, or the rebuilt network does
            not give the golden output.
    """
    folder = Path(getattr(folder, "folder", folder))
    path = folder / "model.safetensors"
    if not path.is_file():
        raise UserError(
            str(folder),
            "holds no model.safetensors. Give a run of train or prune; a quantized run is "
            "an ONNX file, whose float parent is named in its run.json.",
        )
    description = read_json(folder / "model.json")
    tensors = _read_tensors(path)
    try:
        net = rebuild(description["builder"], description["attributes"], tensors)
        model = Classifier(net, read_preprocess(description), tuple(description["classes"])).eval()
        if verify:
            _verify(model, description["golden"], folder)
            if file_hash(path) != description["tensors"]:
                raise UserError(str(path), "was changed after strop wrote it. Restore it.")
    except UserError:
        raise
    except Exception as error:  # a changed file can break the building and the forward pass in any way
        raise UserError(
            str(folder),
            f"model.json and model.safetensors do not belong together ({error}). Restore the folder as strop wrote it.",
        ) from error
    return model


def read_preprocess(description: dict) -> Preprocess:
    about = description["preprocess"]
    mean, std = tuple(about["mean"]), tuple(about["std"])
    return Preprocess(about["input_size"], about["channels"], mean, std, about.get("alpha", "white"))


def rebuild(builder: dict, attributes: dict[str, dict[str, Scalar]], tensors: dict[str, Tensor]) -> nn.Module:
    """The builder's module with the recorded attributes and the tensors' shapes and values."""
    net = _blank(builder)
    if any(module._non_persistent_buffers_set for module in net.modules()):
        net = make(builder)  # values that no file holds (position indices, say) have to be computed
    tied = tied_parameters(net)
    modules = dict(net.named_modules())
    for path, changes in attributes.items():
        for name, value in changes.items():
            _set_attribute(modules[path], path, name, value)
    for name, tensor in tensors.items():
        owner, _, leaf = name.rpartition(".")
        _put_tensor(modules[owner], leaf, tensor)
    net.load_state_dict(tensors, strict=True, assign=True)
    tie(net, tied)
    stranded = [name for name, tensor in [*net.named_parameters(), *net.named_buffers()] if tensor.is_meta]
    if stranded:
        raise RuntimeError(f"no values for {', '.join(stranded[:5])}")
    return net


def golden_output(model: Classifier) -> list[list[float]]:
    """What the model, with its preprocessing, says to two fixed pictures: (2, K) in float32, in eval mode."""
    shape = (2, *model.preprocess.shape)
    steps = torch.arange(math.prod(shape))
    images = (steps * steps % 251).to(torch.uint8).view(shape)
    was_training = model.net.training
    model.net.eval()
    with torch.inference_mode():
        output = model(images.to(model.scale.device)).float().cpu()
    model.net.train(was_training)
    return output.tolist()


def _verify(model: Classifier, golden: list[list[float]], folder: Path) -> None:
    expected = torch.tensor(golden)
    actual = torch.tensor(golden_output(model))
    scale = 1 + expected.abs().max().item()
    if actual.shape != expected.shape or not (actual - expected).abs().max().item() <= GOLDEN_TOLERANCE * scale:
        raise UserError(
            str(folder),
            "the rebuilt network does not give the output that was recorded with it. A file "
            "was changed, or a library builds this network differently now.",
        )


def _read_tensors(path: Path) -> dict[str, Tensor]:
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            names = list(file.keys())
            if len(names) > MAX_TENSORS:
                raise UserError(str(path), f"holds {len(names)} tensors; no model of strop has over {MAX_TENSORS}.")
            return with_tied({name: file.get_tensor(name) for name in names}, file.metadata())
    except (safetensors.SafetensorError, OSError) as error:
        raise UserError(str(path), f"is not a whole safetensors file ({error}). Restore it.") from None


def _blank(builder: dict) -> nn.Module:
    """The builder's module without memory for its tensors."""
    with torch.device("meta"):
        return make(builder)


def make(builder: dict) -> nn.Module:
    """The network that a builder describes, with new weights and all of its channels."""
    net = build(builder["name"], **dict(builder["options"], pretrained=False))
    factor(net, builder.get("ranks", {}))
    remove_blocks(net, builder.get("without", ()))
    return net


def _attributes(module: nn.Module) -> dict[str, Scalar | tuple]:
    """Plain values that a module keeps beside its tensors."""
    plain = (bool, int, float, str, type(None))
    return {
        name: value
        for name, value in vars(module).items()
        if not name.startswith("_")
        and name != "training"
        and (isinstance(value, plain) or isinstance(value, tuple | list) and all(isinstance(v, plain) for v in value))
    }


def _changed_attributes(net: nn.Module, blank: nn.Module) -> dict[str, dict[str, Any]]:
    """Where `net` differs from what its builder makes; the modules must be the same by name and type."""
    originals = dict(blank.named_modules())
    if {name: type(m) for name, m in net.named_modules()} != {name: type(m) for name, m in originals.items()}:
        raise ValueError("modules were added, removed or replaced; the builder can't make this network again")
    changed = {}
    for path, module in net.named_modules():
        before, after = _attributes(originals[path]), _attributes(module)
        difference = {name: value for name, value in after.items() if before.get(name, _attributes) != value}
        if difference:
            changed[path] = json.loads(json.dumps(difference))
    return changed


def _set_attribute(module: nn.Module, path: str, name: str, value: Any) -> None:
    """Only plain attributes that the module already has can be set: a file can't reach anything else."""
    known = _attributes(module)
    if name not in known:
        raise RuntimeError(f"{path} has no attribute '{name}'")
    old = known[name]
    setattr(module, name, tuple(value) if isinstance(old, tuple) else value)


def _put_tensor(module: nn.Module, leaf: str, tensor: Tensor) -> None:
    """Make room of the tensor's shape; the values are assigned afterwards, strictly."""
    blank = torch.empty_like(tensor, device="meta")
    if leaf in module._parameters:
        module._parameters[leaf] = nn.Parameter(blank, requires_grad=blank.is_floating_point())
    elif leaf in module._buffers:
        module._buffers[leaf] = blank
