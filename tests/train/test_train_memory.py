"""How many pictures fit: the estimate against arithmetic, the search, and what counts as out of memory."""

import resource

import pytest
import torch
from torch import nn

from strop.models.classifier import Classifier, Preprocess
from strop.train import memory
from strop.train.losses import losses
from strop.train.memory import bytes_per_picture, free_bytes, is_out_of_memory, largest_batch, make_fits
from strop.train.objective import Supervised
from strop.train.precision import make_autocast


@pytest.fixture
def objective():
    """One linear layer over 1 x 8 x 8 pictures, 3 classes, and a batch norm whose statistics must not move."""
    net = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(64), nn.ReLU(), nn.Linear(64, 3))
    return Supervised(Classifier(net, Preprocess(8, 1, (0.4,), (0.3,)), ("a", "b", "c")), losses.get("cross-entropy")())


def test_bytes_of_a_picture_by_hand(objective):
    """Batch norm keeps its input, 64 floats; ReLU its output, which linear shares, 64; cross-entropy 3 logarithms.

    Then at most 3 more for smoothing, and the target: 512 + 12 + at most 40 bytes.
    """
    each = bytes_per_picture(objective, (1, 8, 8), make_autocast("fp32", "cpu"))
    assert 512 + 12 <= each <= 512 + 12 + 40


def test_the_probe_leaves_no_trace(objective):
    """Statistics of batch norm and gradients are as before."""
    before = {name: tensor.clone() for name, tensor in objective.state_dict().items()}
    make_fits(objective, (1, 8, 8), make_autocast("fp32", "cpu"))(64)
    assert all(torch.equal(tensor, before[name]) for name, tensor in objective.state_dict().items())
    assert all(parameter.grad is None for parameter in objective.parameters())


def test_half_of_the_free_memory_is_the_limit(objective, monkeypatch):
    """A picture of about 540 bytes, twice that with gradients: of 1 MB, half of it, 256 pictures fit and 512 don't."""
    monkeypatch.setattr(memory, "free_bytes", lambda: 1_000_000)
    assert largest_batch(make_fits(objective, (1, 8, 8), make_autocast("fp32", "cpu"))) == 256


def test_powers_of_two_within_bounds():
    """Never below 2, which batch norm needs, nor above the limit."""
    assert [largest_batch(lambda n, room=room: n <= room) for room in (0, 3, 64, 100, 10**9)] == [2, 2, 64, 64, 1024]
    assert largest_batch(lambda n: True, most=20) == 16


def test_free_memory_is_of_this_machine():
    """More than nothing, less than all; a limit of the process counts."""
    free = free_bytes()
    assert 0 < free < 1 << 50
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    try:
        resource.setrlimit(resource.RLIMIT_AS, (1 << 44, hard))
        assert 0 < free_bytes() <= min(1 << 44, free * 2)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def test_what_is_out_of_memory():
    """torch's real message for the CPU, by asking for 2**60 bytes; other errors are not."""
    with pytest.raises(RuntimeError) as caught:
        torch.empty(1 << 60, dtype=torch.uint8)
    assert is_out_of_memory(caught.value)
    assert is_out_of_memory(MemoryError()) and is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory"))
    assert not is_out_of_memory(RuntimeError("shapes do not match")) and not is_out_of_memory(ValueError())
