"""Tied weights: once in a file, tied again when loaded, trained and resumed as one."""

import json

import pytest
import safetensors.torch
import torch
from torch import nn

from strop import artifact
from strop.errors import Interrupted, UserError
from strop.models import models
from strop.models.groups import check_prunable
from strop.models.tied import from_bytes, tie, tied_names, tied_parameters, to_bytes
from strop.steps import training
from strop.steps.train import Train

SOURCE = '''"""A network that uses one convolution twice, under two names."""

from torch import nn

from strop.models import models


@models.add("twice")
class Twice(nn.Module):
    """Two names, one tensor."""

    def __init__(self, num_classes: int, in_chans: int = 3, input_size: int = 16):
        super().__init__()
        self.stem = nn.Conv2d(in_chans, 4, 3, padding=1)
        self.first, self.second = nn.Conv2d(4, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.second.weight = self.first.weight
        self.head = nn.Linear(4, num_classes)

    def forward(self, x):
        x = self.second(self.first(self.stem(x).relu()).relu()).relu()
        return self.head(x.mean((2, 3)))
'''


def pair():
    net = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    net[1].weight = net[0].weight
    return net


def test_once_in_the_file():
    """The header says what is tied, in safetensors' own words; both names come back, and strangers can read it."""
    net = pair()
    assert tied_names(net.state_dict()) == tied_parameters(net) == {"1.weight": "0.weight"}
    data = to_bytes(net.state_dict())
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    assert "1.weight" not in header and header["__metadata__"] == {"1.weight": "0.weight"}
    back = from_bytes(data)
    assert all(torch.equal(back[name], tensor) for name, tensor in net.state_dict().items()) and len(back) == 4
    assert tied_names(back) == {}, "copies: whoever changes one does not change the other unasked"


def test_as_safetensors_does_it(tmp_path):
    """Its `load_model` reads our file, as we read one of its `save_model`."""
    net, other = pair(), pair()
    (tmp_path / "ours.safetensors").write_bytes(to_bytes(net.state_dict()))
    safetensors.torch.load_model(other, tmp_path / "ours.safetensors")
    assert torch.equal(other[1].weight, net[0].weight)
    safetensors.torch.save_model(net, tmp_path / "theirs.safetensors")
    assert from_bytes((tmp_path / "theirs.safetensors").read_bytes()).keys() == net.state_dict().keys()


def test_tying_again():
    """After it both names are one parameter."""
    net = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    tie(net, {"1.weight": "0.weight"})
    assert net[1].weight is net[0].weight


def test_untied_tensors_are_written_as_before():
    """No metadata: files of other networks stay the same to the byte."""
    tensors = nn.Linear(2, 2).state_dict()
    assert to_bytes(tensors) == safetensors.torch.save({name: t.detach() for name, t in tensors.items()})


@pytest.fixture
def twice(tmp_path, monkeypatch):
    """Our file of a network with tied weights, found by its folder."""
    folder = tmp_path / "added"
    folder.mkdir()
    (folder / "twice.py").write_text(SOURCE)
    monkeypatch.setattr(models, "path", [*models.path, str(folder)])


def test_trained_resumed_and_loaded(twice, shapes_small, tmp_path, monkeypatch):
    """The model folder is tied again; stopped and resumed, its bytes are those of one go."""

    def step(name):
        data = {"source": str(shapes_small), "validation": "20%", "input_size": 16}
        options = {"data": data, "model": "twice", "epochs": 2, "batch_size": 8, "lr": 0.05, "save_minutes": 0}
        return Train.model_validate(options | {"out": str(tmp_path / name)})

    whole = step("whole").execute()

    def stop(self, progress):
        if progress.step == 3:
            raise Interrupted(2, "stopped")

    with monkeypatch.context() as patch, pytest.raises(Interrupted):
        patch.setattr(training.Training, "_stop_if_asked", stop)
        step("parts").execute()
    parts = step("parts").execute()
    assert (whole.folder / "model.safetensors").read_bytes() == (parts.folder / "model.safetensors").read_bytes()
    net = artifact.load(whole).net
    assert net.second.weight is net.first.weight
    with pytest.raises(UserError, match="'first.weight' and 'second.weight' are one tensor"):
        check_prunable(net, torch.zeros(2, 1, 16, 16))


@pytest.fixture(scope="module")
def shapes_small(tmp_path_factory):
    """20 pictures of each of two classes."""
    import numpy as np
    from PIL import Image

    root, rng = tmp_path_factory.mktemp("data") / "two", np.random.default_rng(0)
    for number, kind in enumerate(("dark", "light")):
        (root / kind).mkdir(parents=True)
        for i in range(20):
            pixels = rng.integers(0, 128, (16, 16)) + 100 * number
            Image.fromarray(pixels.astype(np.uint8)).save(root / kind / f"{i}.png")
    return root
