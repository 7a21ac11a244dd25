"""What a training starts from: the network, its preprocessing, and the choices that are resolved once."""

from __future__ import annotations

from typing import Any

import torch

from .. import launch, models
from ..data.geometry import RandomCrop
from ..data.load import Pictures, pictures
from ..errors import UserError
from ..launch import first_then_others, here
from ..models.classifier import Classifier, Preprocess
from ..runs import Run, read_json, write_json
from ..train.precision import resolve_device, resolve_precision
from .dropping import with_drops
from .fields import scale_rate, split_statistics
from .step import log
from .transfer import rate_of, start_from_parent

STATISTICS_SAMPLE = 2000


def start_model(config: Any, run: Run, parents: dict[str, Run], data: Any) -> tuple[Classifier, dict, str, str]:
    """Classifier, builder, precision and device of a training."""
    torch.manual_seed(config.seed)
    device = choose_device(run, config.device)
    if "parent" in parents:
        model, builder = first_then_others(lambda: start_from_parent(config, run, parents["parent"], data))
        attributes = read_json(parents["parent"].folder / "model.json")["attributes"]
    else:
        model, builder = first_then_others(lambda: _from_builder(config, data))
        attributes = {}
    model, builder = with_drops(config, model, builder, attributes)
    return model, builder, resolve(run, "precision", resolve_precision(config.precision, model.net, device)), device


def choose_device(run: Run, wanted: str) -> str:
    """The device that the step runs on, written into run.json."""
    device, record = resolve_device(wanted), run.record
    if device == "cuda" and launch.processes() > 1:
        device = f"cuda:{launch.local_rank()}"
    record["machine"] |= {"device": device, "processes": launch.processes()}
    write_json(run.folder / "run.json", record)
    return device


def open_pictures(config: Any, run: Run, data: Any, preprocess: Preprocess) -> tuple[Pictures, Pictures | None]:
    """Training and validation pictures; where they come from (memory, cache, stream) is resolved once."""
    how = {"size": preprocess.input_size, "channels": preprocess.channels, "cache_gb": config.cache_gb}
    crop = RandomCrop(scale=(config.crop_scale, 1.0)) if config.crop_scale else None
    before = run.record.get("resolved", {}).get("pictures", "auto")
    train = first_then_others(lambda: pictures(data, "train", source=before, crop=crop, **how))
    kind = resolve(run, "pictures", train.kind)
    if train.kind != kind:  # on a machine with another memory than the first's
        train = pictures(data, "train", source=kind, crop=crop, **how)
    return train, first_then_others(lambda: pictures(data, "val", **how)) if len(data.splits["val"]) else None


def resolve(run: Run, name: str, value: Any) -> Any:
    """Write down what `auto` came to; a resumed run keeps what was written, and all processes what the first chose."""
    record, value = run.record, here().from_first(lambda: value)
    chosen = record.setdefault("resolved", {}).setdefault(name, value)
    write_json(run.folder / "run.json", record)
    if chosen != value:
        log.warning("this machine would choose %s=%s; the run goes on with %s", name, value, chosen)
    return chosen


def _from_builder(config: Any, data: Any) -> tuple[Classifier, dict]:
    name = config.model.name
    size = data.input_size or models.default_input_size(name)
    channels = 3 if config.pretrained else data.channels
    options = {"num_classes": len(data.classes), "in_chans": channels, "input_size": size, **config.model.options}
    net = models.build(name, pretrained=config.pretrained, **options)
    mean, std = _choose_statistics(config, data, size, channels)
    preprocess = Preprocess(size, channels, tuple(mean), tuple(std), data.alpha)
    return Classifier(net, preprocess, data.classes), {"name": name, "options": options}


def _choose_statistics(config: Any, data: Any, size: int, channels: int) -> tuple[list[float], list[float]]:
    """What the user says, else what published weights want, else what the pictures have."""
    if config.normalize not in ("auto", "data"):
        mean, std = split_statistics(config.normalize)
        if len(mean) not in (1, channels):
            raise UserError(
                "normalize", f"{config.normalize} is for {len(mean)} channels; these pictures have {channels}."
            )
        return (mean * channels)[:channels], (std * channels)[:channels]
    known = models.preprocessing(config.model.name, config.pretrained) if config.normalize == "auto" else None
    return (known["mean"], known["std"]) if known else _statistics(data, size, channels)


def resolve_rate(config: Any, run: Run, parents: dict[str, Run], name: str = "lr") -> Any:
    """The config with `lr: parent*0.1` as a number, which run.json keeps too, under `name`."""
    if not isinstance(config.lr, str):
        return config
    rate = resolve(run, name, scale_rate(config.lr, rate_of(parents["parent"])))
    log.info("  lr %g (%s)", rate, config.lr)
    return config.model_copy(update={"lr": rate})


def _statistics(data: Any, size: int, channels: int) -> tuple[list[float], list[float]]:
    """Mean and sd a channel over up to 2,000 training pictures spread evenly, pixels in [0, 1]."""
    train = pictures(data, "train", size=size, channels=channels)
    step = max(1, len(train) // STATISTICS_SAMPLE)
    pixels = train.batch(torch.arange(0, len(train), step)[:STATISTICS_SAMPLE]).double() / 255
    mean, std = pixels.mean((0, 2, 3)), pixels.std((0, 2, 3)).clamp_min(1e-3)
    return [round(v, 6) for v in mean.tolist()], [round(v, 6) for v in std.tolist()]
