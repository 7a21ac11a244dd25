"""How many pictures an update may have: what one needs in memory, and what there is."""

from __future__ import annotations

import resource
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import torch

MOST = 1024  # larger batches change the training more than they speed it up
SHARE = 0.5  # of the memory that is free, so that loading, measuring and other programs have room
OVERHEAD = 2.0  # backward holds gradients of the maps beside the maps, and copies of some


def largest_batch(fits: Callable[[int], bool], most: int = MOST) -> int:
    """The largest power of two of at most `most` that fits, trying 2, 4, 8 ...; at least 2.

    >>> largest_batch(lambda pictures: pictures <= 100)
    64
    """
    batch = 2
    while 2 * batch <= most and fits(2 * batch):
        batch *= 2
    return batch


def make_fits(
    objective: torch.nn.Module, shape: tuple[int, int, int], precision: Callable[[], AbstractContextManager]
) -> Callable[[int], bool]:
    """Whether an update of so many pictures fits: by trying on a GPU, by an estimate on the CPU.

    Args:
        objective: see `train.objective`; its buffers and gradients are left as they are found.
        shape: (C, H, W) of a picture.
    """
    device = next(objective.parameters()).device
    if device.type == "cuda":
        return lambda pictures: _fits_on_gpu(objective, pictures, shape, precision)
    each, room = bytes_per_picture(objective, shape, precision), SHARE * free_bytes()
    return lambda pictures: OVERHEAD * each * pictures <= room


def bytes_per_picture(
    objective: torch.nn.Module, shape: tuple[int, int, int], precision: Callable[[], AbstractContextManager]
) -> float:
    """What the forward pass keeps for the backward pass, a picture: the difference between four and two of them."""
    two, four = (_saved_bytes(objective, count, shape, precision) for count in (2, 4))
    return (four - two) / 2


def _saved_bytes(objective: torch.nn.Module, pictures: int, shape: tuple, precision: Callable) -> int:
    sizes: dict[int, int] = {}

    def note(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        sizes[storage.data_ptr()] = storage.nbytes()  # what is saved twice is there once
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        kept = _forward(objective, pictures, shape, precision)
        total = sum(sizes.values())
    del kept
    return total


def _forward(objective: torch.nn.Module, pictures: int, shape: tuple, precision: Callable) -> torch.Tensor:
    """The loss of blank pictures; buffers, batch norm's statistics among them, stay as they were."""
    device = next(objective.parameters()).device
    before = [buffer.clone() for buffer in objective.buffers()]
    objective.mode(train=True)
    try:
        with precision():
            images = torch.zeros(pictures, *shape, dtype=torch.uint8, device=device)
            return objective(images, torch.zeros(pictures, dtype=torch.int64, device=device)).total
    finally:
        with torch.no_grad():
            for buffer, value in zip(objective.buffers(), before, strict=True):
                buffer.copy_(value)


def _fits_on_gpu(objective: torch.nn.Module, pictures: int, shape: tuple, precision: Callable) -> bool:
    """One pass forward and back; the optimizer's two moments have to fit beside it."""
    weights = [parameter for parameter in objective.parameters() if parameter.requires_grad]
    device = weights[0].device
    torch.cuda.reset_peak_memory_stats(device)
    try:
        _forward(objective, pictures, shape, precision).backward()
        peak = torch.cuda.max_memory_allocated(device) + 2 * sum(weight.nbytes for weight in weights)
        return peak <= 0.9 * torch.cuda.get_device_properties(device).total_memory
    except torch.OutOfMemoryError:
        return False
    finally:
        for weight in weights:
            weight.grad = None
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)


def free_bytes() -> int:
    """Memory that this process may still take: of the machine, of its container, of its own limits."""
    status = _table("/proc/self/status")
    found = [_table("/proc/meminfo").get("MemAvailable", 1 << 60)]
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    if limit != resource.RLIM_INFINITY:
        found.append(limit - status.get("VmSize", 0))
    try:
        most = Path("/sys/fs/cgroup/memory.max").read_text().strip()
        if most.isdigit():
            found.append(int(most) - int(Path("/sys/fs/cgroup/memory.current").read_text()))
    except OSError:
        pass
    return max(min(found), 0)


def _table(path: str) -> dict[str, int]:
    """Lines "Name:  123 kB" in bytes."""
    try:
        lines = [line.split() for line in Path(path).read_text().splitlines()]
    except OSError:
        return {}
    return {words[0].rstrip(":"): 1024 * int(words[1]) for words in lines if len(words) == 3 and words[2] == "kB"}


def is_out_of_memory(error: BaseException) -> bool:
    """Also for the CPU, where torch raises a plain RuntimeError."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and ("can't allocate memory" in str(error) or "not enough mem" in str(error))
