"""Published weights without a network: one call, a message that says what to write, and what was fetched before."""

import logging
import socket
import time
from urllib.error import URLError

import pytest
import timm
import torch
import torchvision
from huggingface_hub import constants
from safetensors.torch import save_file

from strop.cli import main
from strop.errors import UserError
from strop.models import build
from strop.models.pretrained import ELSEWHERE

TINY = "timm:test_vit"  # of timm's own tests; its weights are timm/test_vit.r160_in1k on the hub


@pytest.fixture
def no_hub(tmp_path, monkeypatch):
    """The hub's client looks into an empty cache, and nobody listens where the hub should be."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{free.getsockname()[1]}")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    return tmp_path / "hub"


def test_a_silent_hub_is_called_once(no_hub, caplog):
    """Its client would repeat itself for 28 s (1 + 2 + 4 + 8 + 8 ... for each of two files) and say so 12 times."""
    start = time.perf_counter()
    with caplog.at_level(logging.WARNING), pytest.raises(UserError) as caught:
        build(TINY, num_classes=4, pretrained=True)
    assert time.perf_counter() - start < 15
    assert not caplog.records
    assert str(caught.value).startswith(
        "pretrained: could not load 'test_vit.r160_in1k (model.safetensors)': 127.0.0.1 "
    )
    assert str(caught.value).endswith(ELSEWHERE)
    assert constants.HF_HUB_OFFLINE is False, "the next call asks again"


def test_what_was_fetched_before_needs_no_hub(no_hub):
    """The hub's cache, as its client lays it out: every tensor but those of a head for other classes."""
    torch.manual_seed(0)
    stored = timm.create_model("test_vit").state_dict()
    snapshot = no_hub / "models--timm--test_vit.r160_in1k" / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    save_file(stored, snapshot / "model.safetensors")
    (snapshot.parents[1] / "refs").mkdir()
    (snapshot.parents[1] / "refs" / "main").write_text("0" * 40)
    loaded = build(TINY, num_classes=4, pretrained=True).state_dict()
    assert len(stored) == len(loaded)
    assert all(torch.equal(loaded[name], stored[name]) for name in stored if not name.startswith("head."))


def test_the_audit_names_its_own_option(no_hub, capsys):
    """Not `pretrained`, which strop audit does not have; and what may be written there."""
    assert main(["audit", "fashion-mini", "--embeddings", TINY]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"error: --embeddings {TINY}: ") and "--embeddings test_vit=FILE.safetensors" in said


def test_torchvision_writes_nothing_on_stdout(monkeypatch, capsys):
    """Where --json has one object; and its sockets, which would wait for ever, wait for seconds."""
    waits = []

    def fetch(*_, **__):
        waits.append(socket.getdefaulttimeout())
        print('Downloading: "https://..."')  # as torch.hub does
        raise URLError("Name or service not known")

    monkeypatch.setattr(torchvision.models.ResNet18_Weights, "get_state_dict", fetch)
    with pytest.raises(UserError, match="'resnet18-f37072fd.pth': Name or service not known. Connect"):
        build("resnet18", num_classes=4, pretrained=True)
    assert capsys.readouterr().out == ""
    assert waits == [10.0] and socket.getdefaulttimeout() is None
