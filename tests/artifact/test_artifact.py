"""Saving and rebuilding: equal to the bit, and anything changed is noticed."""

import json
import struct

import pytest
import torch

from strop import artifact
from strop.config import Budget
from strop.errors import UserError
from strop.models import build
from strop.models.classifier import Classifier, Preprocess
from strop.prune.criteria import criteria
from strop.prune.prune import prune

SIZE, CLASSES = 32, ("zebra", "ant", "yes", "été", "1", "b", "c", "d", "e", "f")


def make(name, budget=None, size=SIZE, channels=1):
    """A classifier, pruned if a budget is given, with running means as after a training; and its builder."""
    torch.manual_seed(0)
    options = {"num_classes": len(CLASSES), "in_chans": channels, "input_size": size}
    net = build(name, **options)
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 2)
    if budget:
        budget = Budget.read(budget)
        prune(net, (channels, size, size), kind="params", budget=budget, criterion=criteria.get("group-norm"))
    preprocess = Preprocess(size, channels, (0.4,) * channels, (0.25,) * channels)
    return Classifier(net.eval(), preprocess, CLASSES), {"name": name, "options": options}


@pytest.fixture
def saved(tmp_path):
    """A saved cnn3, and a way to change its model.json."""
    artifact.save(tmp_path, *make("cnn3"))
    return tmp_path


def change(folder, edit):
    path = folder / "model.json"
    description = json.loads(path.read_text(encoding="utf-8"))
    edit(description)
    path.write_text(json.dumps(description), encoding="utf-8")


@pytest.mark.parametrize(
    ("name", "budget", "channels"),
    [
        ("resnet18", None, 3),
        ("resnet18", "9%", 1),
        ("cnn3", None, 1),
        ("cnn3", "30%", 1),
        ("mobilenet_v3_small", "50%", 1),
        ("timm:vit_tiny_patch16_224", None, 3),
        ("timm:test_efficientnet", None, 3),
    ],
)
@torch.no_grad()
def test_the_difference_is_zero(tmp_path, name, budget, channels):
    """The same logits to the bit, the same tensors, and the same preprocessing, of whole and of pruned networks."""
    model, builder = make(name, budget, channels=channels)
    artifact.save(tmp_path, model, builder)
    torch.manual_seed(999)
    loaded = artifact.load(tmp_path)
    pictures = torch.randint(0, 256, (3, channels, SIZE, SIZE), dtype=torch.uint8)
    assert (loaded(pictures) - model(pictures)).abs().max().item() == 0.0
    before, after = model.net.state_dict(), loaded.net.state_dict()
    assert before.keys() == after.keys() and all(torch.equal(before[k], after[k]) for k in before)
    assert loaded.preprocess == model.preprocess and not any(m.training for m in loaded.modules())
    assert not any(tensor.is_meta for tensor in [*loaded.parameters(), *loaded.buffers()])


def test_what_is_loaded_can_be_trained_pruned_and_saved_again(tmp_path):
    """A loaded network is an ordinary one: gradients reach all of it, and a second generation saves."""
    model, builder = make("cnn3", "60%")
    artifact.save(tmp_path, model, builder)
    loaded = artifact.load(tmp_path)
    loaded.train()(torch.randint(0, 256, (4, 1, SIZE, SIZE), dtype=torch.uint8)).sum().backward()
    assert all(parameter.grad is not None for parameter in loaded.net.parameters())
    prune(loaded.net, (1, SIZE, SIZE), kind="params", budget=Budget.read("50%"), criterion=criteria.get("group-norm"))
    (tmp_path / "second").mkdir()
    artifact.save(tmp_path / "second", loaded, builder)
    again = artifact.load(tmp_path / "second")
    pictures = torch.randint(0, 256, (2, 1, SIZE, SIZE), dtype=torch.uint8)
    assert torch.equal(again(pictures), loaded(pictures))
    count = [sum(p.numel() for p in m.parameters()) for m in (model, again)]
    assert count[1] <= 0.5 * count[0]


def test_class_names_keep_their_order(saved):
    """Neither sorted nor converted: a class called yes, one called 1, one with accents."""
    assert artifact.load(saved).classes == CLASSES


def test_only_tensors_and_json_are_written(saved):
    """Two files; the first is a safetensors header followed by exactly the bytes it announces."""
    assert sorted(path.name for path in saved.iterdir()) == ["model.json", "model.safetensors"]
    data = (saved / "model.safetensors").read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    tensors = [about for name, about in header.items() if name != "__metadata__"]
    assert {about["dtype"] for about in tensors} == {"F32", "I64"}
    assert 8 + length + max(about["data_offsets"][1] for about in tensors) == len(data)


def test_saving_leaves_the_model_as_it_was(tmp_path):
    """Mode and weights stay."""
    model, builder = make("cnn3")
    model.train()
    before = {name: tensor.clone() for name, tensor in model.net.state_dict().items()}
    artifact.save(tmp_path, model, builder)
    assert model.net.training and all(torch.equal(t, before[n]) for n, t in model.net.state_dict().items())


def flip(folder, tensor, bit):
    """Change one bit of the first element of a float32 tensor."""
    path = folder / "model.safetensors"
    data = bytearray(path.read_bytes())
    (length,) = struct.unpack("<Q", data[:8])
    start = 8 + length + json.loads(data[8 : 8 + length])[tensor]["data_offsets"][0]
    data[start + bit // 8] ^= 1 << bit % 8
    path.write_bytes(bytes(data))


@pytest.mark.parametrize(
    "tensor", ["features.0.0.weight", "features.2.0.weight", "features.1.1.running_var", "fc.weight", "fc.bias"]
)
def test_a_flipped_bit_in_a_weight(saved, tensor):
    """The highest bit of the exponent of one number."""
    artifact.load(saved)
    flip(saved, tensor, 30)
    with pytest.raises(UserError, match="does not give the output"):
        artifact.load(saved)


@pytest.mark.parametrize(
    "edit",
    [
        lambda about: about["preprocess"].update(mean=[0.5]),
        lambda about: about["preprocess"].update(std=[0.2]),
        lambda about: about["preprocess"].update(input_size=28),
        lambda about: about["preprocess"].update(channels=3, mean=[0.4] * 3, std=[0.25] * 3),
        lambda about: about["attributes"].update({"features.0.0": {"padding": [1, 1]}}),
        lambda about: about["attributes"].update({"features.0.0": {"stride": [2, 2]}}),
        lambda about: about["attributes"].update({"features.0.0": {"stride": "many"}}),
        lambda about: about["attributes"].update({"features.0.0": {"stride": [0, 0]}}),
        lambda about: about["attributes"].update({"features.0.1": {"eps": 0.1}}),
        lambda about: about["builder"].update(name="cnn2"),
        lambda about: about["builder"]["options"].update(nonsense=4),
        lambda about: about["golden"][0].__setitem__(0, about["golden"][0][0] + 0.1),
        lambda about: about.update(golden=[[1.0]]),
        lambda about: about.update(golden="none"),
        lambda about: about.pop("golden"),
        lambda about: about.pop("builder"),
        lambda about: about.pop("classes"),
    ],
)
def test_a_changed_description(saved, edit):
    """Preprocessing, attributes, builder and golden output: each is noticed and blamed on the folder."""
    change(saved, edit)
    with pytest.raises(UserError):
        artifact.load(saved)


def test_a_wrong_stem(tmp_path):
    """All shapes fit, yet the first layer steps by 1 and not by 2: only the output tells."""
    model, builder = make("resnet18")
    artifact.save(tmp_path, model, builder)
    change(tmp_path, lambda about: about["attributes"].update({"conv1": {"stride": [1, 1]}}))
    with pytest.raises(UserError, match="does not give the output"):
        artifact.load(tmp_path)
    net = artifact.load(tmp_path, verify=False).net
    assert net.conv1.stride == (1, 1)  # without the golden output it would have passed in silence


@pytest.mark.parametrize(
    ("path", "name", "value"),
    [
        ("features.0.0", "__class__", "Linear"),
        ("features.0.0", "forward", "x"),
        ("features.0.0", "training", True),
        ("features.0.0", "_parameters", {}),
        ("features.0.0", "weight", 1.0),
        ("features.0.0", "normalized_shape", [16]),
        ("features.0.0", "new", 1),
        ("features.9", "stride", [1, 1]),
        ("", "fc", None),
    ],
)
def test_attributes_that_a_file_must_not_reach(saved, path, name, value):
    """Only plain values that the module keeps itself can be set; nothing is looked up by a name from a file."""
    change(saved, lambda about: about["attributes"].update({path: {name: value}}))
    for verify in (True, False):
        with pytest.raises(UserError, match="do not belong together"):
            artifact.load(saved, verify=verify)


@pytest.mark.parametrize("keep", [0, 4, 100, -1, -1000])
def test_truncated_tensors(saved, keep):
    """A file that ends early is named."""
    path = saved / "model.safetensors"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(UserError, match=r"model\.safetensors: is not a whole safetensors file"):
        artifact.load(saved)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '"text"', "\xff"])
def test_a_description_that_is_no_description(saved, text):
    """Broken JSON, or JSON of another shape."""
    (saved / "model.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(UserError):
        artifact.load(saved)


def test_tensors_of_another_model(saved, tmp_path_factory):
    """Tensors that are too many, too few or of another network do not pass."""
    other = tmp_path_factory.mktemp("other")
    artifact.save(other, *make("cnn2"))
    (saved / "model.safetensors").write_bytes((other / "model.safetensors").read_bytes())
    with pytest.raises(UserError, match="do not belong together"):
        artifact.load(saved)


def test_no_model(tmp_path):
    """A folder of something else says what to give."""
    with pytest.raises(UserError, match=r"no model\.safetensors"):
        artifact.load(tmp_path)


def test_a_network_with_a_replaced_module_is_not_saved(tmp_path):
    """What the builder can't make again is refused when saving, not when loading."""
    model, builder = make("cnn3")
    model.net.fc = torch.nn.Sequential(model.net.fc)
    with pytest.raises(ValueError, match="added, removed or replaced"):
        artifact.save(tmp_path, model, builder)
