"""A teacher's answers, computed once and kept on disk, for trainings that show it the same pictures in every epoch."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..data.cache import Chunk, cache_folder, open_or_write
from ..data.load import Batch, Loader
from ..data.stores import Pictures
from ..launch import first_then_others
from ..runs import digest
from ..train.precision import make_autocast
from ..train.smallmaps import fast_small_maps
from .computing import evaluation_loader
from .step import log


class Answers:
    """(N, K) float32 logits of a teacher for the pictures of a split, mapped from the cache."""

    def __init__(self, logits: np.ndarray):
        self.logits = logits

    def to(self, device: str) -> Answers:
        """They stay on the disk, and go with each batch's targets."""
        return self


class TaughtLoader:
    """A loader whose targets are (B, 1 + K) float32: the class, then what the teacher answers."""

    def __init__(self, loader: Loader, answers: Answers):
        self.loader, self.answers, self.parts = loader, answers, loader.parts

    def __len__(self) -> int:
        return len(self.loader)

    def cut(self, i: int):
        return self.loader.cut(i)

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        for batch in self.loader.epoch(epoch, start):
            logits = torch.from_numpy(self.answers.logits[batch.indices.numpy()])
            yield batch._replace(targets=torch.cat([batch.targets[:, None].float(), logits], 1))


def with_answers(loader: Loader, teacher: Any) -> Loader | TaughtLoader:
    """The loader, or one that brings the teacher's answers where they are kept."""
    return TaughtLoader(loader, teacher) if isinstance(teacher, Answers) else loader


def keep_answers(
    teacher: nn.Module | None,
    pictures: Pictures,
    options: Any,
    *,
    device: str,
    precision: str,
) -> nn.Module | Answers | None:
    """The teacher, or with `cache_teacher` its answers to all pictures; they are computed where the cache lacks them.

    They are those that training would ask for, up to rounding: batches are of another size here. Where the disk does
    not let them be kept the teacher itself is returned, with a warning.

    Args:
        pictures: the training pictures as the student sees them, without augmentation.
        options: `cache_teacher` and `cache_gb`, 1e9 bytes that the whole cache may take.
    """
    if teacher is None or not options.cache_teacher:
        return teacher
    key = digest(
        "answers", _fingerprint(teacher), pictures.identify(), precision, device.partition(":")[0], torch.__version__
    ).removeprefix("blake2b:")
    computed: list[bool] = []
    classes = len(getattr(teacher, "teachers", [teacher])[0].classes)
    answering = _ask(teacher.to(device), pictures, device, make_autocast(precision, device), computed)

    def open_or_compute() -> np.ndarray:
        packed = open_or_write(
            cache_folder(),
            key,
            n=len(pictures),
            channels=1,
            chunks=answering,
            expected_bytes=4 * classes * len(pictures),
            limit_bytes=options.cache_gb * 1e9,
        )
        return packed.flat[: 4 * classes * len(pictures)].view(np.float32).reshape(len(pictures), classes)

    try:
        answers = Answers(first_then_others(open_or_compute))
    except OSError as error:
        reason = error.strerror or error
        log.warning("  the teacher's answers can't be kept (%s): it is asked in every epoch", reason)
        return teacher
    log.info("  the teacher's answers to %d pictures %s", len(pictures), "are kept" if computed else "were kept before")
    return answers


def _ask(
    teacher: nn.Module, pictures: Pictures, device: str, autocast: Callable, computed: list[bool]
) -> Iterator[Chunk]:
    """The answers of each batch as rows of bytes."""
    computed.append(True)
    teacher.eval()
    for batch in evaluation_loader(pictures).epoch(0):
        with fast_small_maps(teacher), autocast(), torch.no_grad():
            logits = teacher(batch.images.to(device)).float().cpu().contiguous().numpy()
        shapes = np.tile([1, 4 * logits.shape[1]], (len(logits), 1))
        yield Chunk(logits.view(np.uint8).reshape(-1), shapes)


def _fingerprint(teacher: nn.Module) -> list[Any]:
    """What its answers depend on: how each network is built and prepared, and all its tensors."""
    found = []
    for one in getattr(teacher, "teachers", [teacher]):
        content = hashlib.sha256()
        for name, tensor in one.net.state_dict().items():
            content.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
            content.update(_bytes(tensor))
        found.append([str(one.net), asdict(one.preprocess), list(one.classes), content.hexdigest()])
    return found


def _bytes(tensor: Tensor) -> np.ndarray:
    return tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()
