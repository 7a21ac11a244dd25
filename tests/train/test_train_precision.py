"""The rules by which a precision is chosen."""

from contextlib import nullcontext

import pytest
import torch
from torch import nn

from strop.errors import UserError
from strop.train import precision
from strop.train.precision import make_autocast, resolve_device, resolve_precision

PLAIN = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Conv2d(4, 8, 3, groups=2))
DEPTHWISE = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3, groups=8))


@pytest.mark.parametrize(
    ("model", "has_bf16", "expected"),
    [(PLAIN, True, "bf16"), (PLAIN, False, "fp32"), (DEPTHWISE, True, "fp32"), (DEPTHWISE, False, "fp32")],
)
def test_on_a_cpu(monkeypatch, model, has_bf16, expected):
    """bf16 where it is multiplied in hardware, but not for depthwise networks; one input channel is not depthwise."""
    monkeypatch.setattr(precision, "_cpu_has_bf16", lambda: has_bf16)
    assert resolve_precision("auto", model, "cpu") == expected


@pytest.mark.parametrize(
    ("abilities", "old_name", "expected"),
    [
        ({"amx_bf16": True}, False, True),
        ({"avx512_bf16": True, "amx_bf16": False}, False, True),
        ({}, True, True),
        ({"avx2": True}, False, False),
    ],
)
def test_what_counts_as_hardware(monkeypatch, abilities, old_name, expected):
    """AMX or AVX-512 bf16, under torch's new name for it or the old."""
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: abilities, raising=False)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: old_name)
    assert precision._cpu_has_bf16() is expected


@pytest.mark.parametrize("in_hardware", [True, False])
def test_on_a_gpu(monkeypatch, in_hardware):
    """A GPU that only emulates bf16 trains in float16, with scaled gradients."""

    def supported(including_emulation=True):
        return in_hardware or including_emulation

    monkeypatch.setattr(torch.cuda, "is_bf16_supported", supported)
    assert resolve_precision("auto", PLAIN, "cuda:0") == ("bf16" if in_hardware else "fp16")


@pytest.mark.parametrize("wanted", ["fp32", "bf16", "fp16"])
def test_a_wish_is_kept(monkeypatch, wanted):
    """Whatever the machine can do."""
    for has_bf16 in (True, False):
        monkeypatch.setattr(precision, "_cpu_has_bf16", lambda has_bf16=has_bf16: has_bf16)
        assert resolve_precision(wanted, DEPTHWISE, "cpu") == wanted


@pytest.mark.parametrize(("count", "expected"), [(0, "cpu"), (2, "cuda")])
def test_device(monkeypatch, count, expected):
    """auto takes the GPU where there is one; a GPU that is there is kept, one that is not is refused."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    assert resolve_device("auto") == expected and resolve_device("cpu") == "cpu"
    for number in range(3):
        if number < count:
            assert resolve_device(f"cuda:{number}") == f"cuda:{number}"
        else:
            with pytest.raises(UserError, match=f"cuda:{number}"):
                resolve_device(f"cuda:{number}")


def test_autocast():
    """fp32 changes nothing; bf16 gives bfloat16 products of float32 weights, and ends with its block."""
    layer, pictures = nn.Linear(4, 2), torch.ones(1, 4)
    assert isinstance(make_autocast("fp32", "cpu")(), nullcontext)
    with make_autocast("bf16", "cpu")():
        assert layer(pictures).dtype == torch.bfloat16
    assert layer(pictures).dtype == layer.weight.dtype == torch.float32
