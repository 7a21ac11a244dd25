"""What a training starts from: the network, its preprocessing, and the choices that are resolved once."""

from __future__ import annotations

from typing import Any

import torch

from .. import artifact, models
from ..data.geometry import RandomCrop
from ..data.load import Pictures, pictures
from ..errors import UserError
from ..models.classifier import Classifier, Preprocess
from ..runs import Run, read_json, write_json
from ..train.precision import resolve_device, resolve_precision
from .step import log

STATISTICS_SAMPLE = 2000


def start_model(config: Any, run: Run, parents: dict[str, Run], data: Any) -> tuple[Classifier, dict, str, str]:
    """Classifier, builder, precision and device of a training."""
    torch.manual_seed(config.seed)
    device = choose_device(run, config.device)
    make = _from_parent if "parent" in parents else _from_builder
    model, builder = make(config, parents, data)
    return model, builder, resolve(run, "precision", resolve_precision(config.precision, model.net, device)), device


def choose_device(run: Run, wanted: str) -> str:
    """The device that the step runs on, written into run.json."""
    device, record = resolve_device(wanted), run.record
    record["machine"]["device"] = device
    write_json(run.folder / "run.json", record)
    return device


def open_pictures(config: Any, run: Run, data: Any, preprocess: Preprocess) -> tuple[Pictures, Pictures | None]:
    """Training and validation pictures; where they come from (memory, cache, stream) is resolved once."""
    how = {"size": preprocess.input_size, "channels": preprocess.channels, "cache_gb": config.cache_gb}
    crop = RandomCrop(scale=(config.crop_scale, 1.0)) if config.crop_scale else None
    before = run.record.get("resolved", {}).get("pictures", "auto")
    train = pictures(data, "train", source=before, crop=crop, **how)
    resolve(run, "pictures", train.kind)
    return train, pictures(data, "val", **how) if len(data.splits["val"]) else None


def resolve(run: Run, name: str, value: str) -> str:
    """Write down what `auto` came to; a resumed run keeps what was written."""
    record = run.record
    chosen = record.setdefault("resolved", {}).setdefault(name, value)
    write_json(run.folder / "run.json", record)
    if chosen != value:
        log.warning("this machine would choose %s=%s; the run goes on with %s", name, value, chosen)
    return chosen


def _from_builder(config: Any, parents: dict[str, Run], data: Any) -> tuple[Classifier, dict]:
    name = config.model.name
    size = data.input_size or models.default_input_size(name)
    channels = 3 if config.pretrained else data.channels
    options = {"num_classes": len(data.classes), "in_chans": channels, "input_size": size, **config.model.options}
    net = models.build(name, pretrained=config.pretrained, **options)
    known = models.preprocessing(name, config.pretrained)
    mean, std = (known["mean"], known["std"]) if known else _statistics(data, size, channels)
    preprocess = Preprocess(size, channels, tuple(mean), tuple(std), data.alpha)
    return Classifier(net, preprocess, data.classes), {"name": name, "options": options}


def _from_parent(config: Any, parents: dict[str, Run], data: Any) -> tuple[Classifier, dict]:
    """The parent's network; other classes get a new head, another input size keeps the weights."""
    parent = parents["parent"]
    model = artifact.load(parent)
    builder = read_json(parent.folder / "model.json")["builder"]
    before = model.preprocess
    size = config.data.input_size or before.input_size
    options = dict(builder["options"], input_size=size)
    if tuple(data.classes) == model.classes and (size, data.alpha) == (before.input_size, before.alpha):
        return model, builder
    attributes = read_json(parent.folder / "model.json")["attributes"]
    if tuple(data.classes) != model.classes:
        if attributes:
            raise UserError(
                str(parent.folder),
                "is pruned, so it can't be given another class list. Fine-tune its "
                "unpruned parent on the new classes, then prune that.",
            )
        options["num_classes"] = len(data.classes)
    net = models.build(builder["name"], **options)
    kept = _copy_matching(model.net, net) if not attributes else None
    if kept is None:
        net = artifact.rebuild(dict(builder, options=options), attributes, model.net.state_dict())
    preprocess = Preprocess(size, before.channels, before.mean, before.std, data.alpha)
    return Classifier(net, preprocess, data.classes), dict(builder, options=options)


def _copy_matching(source: torch.nn.Module, target: torch.nn.Module) -> list[str]:
    """Copy all tensors of equal shape; only the last layer may differ. Returns the names copied."""
    ours, theirs = target.state_dict(), source.state_dict()
    differing = [name for name, tensor in ours.items() if name not in theirs or theirs[name].shape != tensor.shape]
    heads = {name.rpartition(".")[0] for name in differing}
    if len(heads) > 1:
        raise UserError(
            "parent",
            f"does not fit at this input size or class count: {', '.join(differing[:5])} differ "
            "in shape. Train from its input size, or from --model.",
        )
    if heads:
        log.info("new head %s, the rest from the parent", heads.pop())
    copied = {name: tensor for name, tensor in theirs.items() if name in ours and name not in differing}
    target.load_state_dict(copied, strict=False)
    return list(copied)


def _statistics(data: Any, size: int, channels: int) -> tuple[list[float], list[float]]:
    """Mean and sd a channel over up to 2,000 training pictures spread evenly, pixels in [0, 1]."""
    train = pictures(data, "train", size=size, channels=channels)
    step = max(1, len(train) // STATISTICS_SAMPLE)
    pixels = train.batch(torch.arange(0, len(train), step)[:STATISTICS_SAMPLE]).double() / 255
    mean, std = pixels.mean((0, 2, 3)), pixels.std((0, 2, 3)).clamp_min(1e-3)
    return [round(v, 6) for v in mean.tolist()], [round(v, 6) for v in std.tolist()]
