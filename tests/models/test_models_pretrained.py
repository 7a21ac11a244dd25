"""Weights that exist: a local file, or what the libraries publish (their download is replaced here)."""

import logging
from urllib.error import URLError

import pytest
import torch
import torchvision
from safetensors.torch import save_file

from strop.errors import UserError
from strop.models import build, preprocessing
from strop.models.pretrained import head_names
from strop.models.stages import stages


@pytest.fixture
def saved(tmp_path):
    """A cnn3 for 10 classes and the file that holds it."""
    model = build("cnn3", num_classes=10)
    path = tmp_path / "cnn3.safetensors"
    save_file(model.state_dict(), path)
    return model, path


def test_a_local_file_gives_back_every_tensor(saved):
    """Also buffers."""
    model, path = saved
    again = build("cnn3", num_classes=10, pretrained=path)
    assert all(torch.equal(tensor, again.state_dict()[name]) for name, tensor in model.state_dict().items())


def test_another_class_count_leaves_the_head_fresh_and_says_so(saved, caplog, monkeypatch):
    """Everything but the head is loaded."""
    model, path = saved
    monkeypatch.setattr(logging.getLogger("strop"), "propagate", True)  # the command line switches it off
    with caplog.at_level(logging.INFO, "strop"):
        again = build("cnn3", num_classes=4, pretrained=str(path))
    assert again.fc.weight.shape[0] == 4
    assert torch.equal(again.features[2][0].weight, model.features[2][0].weight)
    assert "new head fc; the file's is for other classes" in caplog.text


def test_all_tensors_that_do_not_fit_are_listed(saved, tmp_path):
    """Missing, unexpected and of another shape, in one message."""
    model, _ = saved
    tensors = dict(model.state_dict())
    tensors["stranger"] = tensors.pop("features.0.0.bias")
    tensors["features.1.0.bias"] = torch.zeros(33)
    path = tmp_path / "wrong.safetensors"
    save_file(tensors, path)
    with pytest.raises(UserError) as caught:
        build("cnn3", num_classes=10, pretrained=path)
    said = str(caught.value)
    assert "'features.0.0.bias' is missing in the file" in said
    assert "'stranger' is in the file but not in the model" in said
    assert "'features.1.0.bias' is [33] in the file but [32] in the model" in said


def test_a_grey_file_does_not_fit_a_colour_model(saved):
    """The stem is not the head: its shape must agree."""
    _, path = saved
    with pytest.raises(UserError, match="features.0.0.weight"):
        build("cnn3", num_classes=10, in_chans=1, pretrained=path)


@pytest.mark.parametrize(("name", "hint"), [("model.pth", "reads no pickle"), ("gone.safetensors", "there is no file")])
def test_other_paths_are_refused(tmp_path, name, hint):
    """With what to write instead."""
    with pytest.raises(UserError, match=hint):
        build("cnn2", num_classes=10, pretrained=tmp_path / name)


def test_a_damaged_file_is_refused(tmp_path):
    """Cut short, as by a full disk."""
    path = tmp_path / "cut.safetensors"
    path.write_bytes(b"\x40\x00\x00\x00\x00\x00\x00\x00{")
    with pytest.raises(UserError, match="is damaged"):
        build("cnn2", num_classes=10, pretrained=path)


def test_published_weights_want_three_channels():
    """Grey pictures are repeated, not the weights changed."""
    with pytest.raises(UserError, match="Repeat grey pictures"):
        build("resnet18", num_classes=10, in_chans=1, pretrained=True)


def test_own_models_have_no_published_weights():
    """A local file is the way."""
    with pytest.raises(UserError, match="'cnn2' has no published weights"):
        build("cnn2", num_classes=10, pretrained=True)


def test_torchvision_weights_keep_all_but_the_head(monkeypatch):
    """1000 classes are published; ours get a head of their own width."""
    published = torchvision.models.squeezenet1_1().state_dict()
    monkeypatch.setattr(torchvision.models.SqueezeNet1_1_Weights, "get_state_dict", lambda *_, **__: published)
    model = build("squeezenet1_1", num_classes=10, pretrained=True)
    assert model.classifier[1].weight.shape[0] == 10
    trunk = model.features.state_dict(prefix="features.")
    assert all(torch.equal(tensor, published[name]) for name, tensor in trunk.items())


@pytest.mark.parametrize(
    ("name", "theirs", "enum"),
    [
        ("squeezenet", "squeezenet1_1", "SqueezeNet1_1_Weights"),
        ("shufflenet_v2", "shufflenet_v2_x1_0", "ShuffleNet_V2_X1_0_Weights"),
    ],
)
def test_our_twins_take_torchvisions_weights(name, theirs, enum, monkeypatch):
    """Keys, shapes and results are torchvision's, to the bit; with other options there is nothing to load."""
    torch.manual_seed(0)
    twin = torchvision.models.get_model(theirs).eval()
    monkeypatch.setattr(getattr(torchvision.models, enum), "get_state_dict", lambda *_, **__: twin.state_dict())
    ours = build(name, num_classes=1000, pretrained=True).eval()
    pictures = torch.randn(2, 3, 96, 96)
    assert list(ours.state_dict()) == list(twin.state_dict())
    assert (ours(pictures) - twin(pictures)).abs().max() == 0
    assert preprocessing(name, True) == preprocessing(f"tv:{theirs}", True)
    other = {"squeezenet": {"sr": 0.5}, "shufflenet_v2": {"se": True}}[name]
    with pytest.raises(UserError, match=f"'{name}' with these options has no published weights"):
        build(name, num_classes=1000, pretrained=True, **other)


@pytest.mark.parametrize(
    ("name", "theirs", "options"),
    [
        ("squeezenet", "squeezenet1_0", {"stem": "1.0"}),
        ("shufflenet_v2", "shufflenet_v2_x0_5", {"width": 0.5}),
        ("shufflenet_v2", "shufflenet_v2_x2_0", {"width": 2.0}),
    ],
)
def test_all_published_variants_are_torchvisions(name, theirs, options):
    """Loaded strictly, the difference is 0."""
    torch.manual_seed(0)
    twin = torchvision.models.get_model(theirs, num_classes=10).eval()
    ours = build(name, num_classes=10, **options).eval()
    ours.load_state_dict(twin.state_dict(), strict=True)
    pictures = torch.randn(2, 3, 64, 64)
    assert ours.published == theirs
    assert (ours(pictures) - twin(pictures)).abs().max() == 0


def test_a_hidden_head_is_new_as_a_whole(tmp_path):
    """Files with the plain head, or for another number of classes, give all but the two layers; the last is small."""
    plain = build("shufflenet_v2", num_classes=10, width=0.5)
    hidden = build("shufflenet_v2", num_classes=10, width=0.5, head="hidden")
    for source, classes in ((plain, 10), (hidden, 100), (hidden, 12)):
        save_file(source.state_dict(), tmp_path / "file.safetensors")
        torch.manual_seed(1)
        loaded = build(
            "shufflenet_v2", num_classes=classes, width=0.5, head="hidden", pretrained=tmp_path / "file.safetensors"
        )
        torch.manual_seed(1)
        fresh = build("shufflenet_v2", num_classes=classes, width=0.5, head="hidden")
        for name, tensor in loaded.state_dict().items():
            expected = fresh if name.startswith("fc.") else source
            is_small = name.startswith("fc.3.") and tensor.abs().max() < 0.06
            assert is_small or torch.equal(tensor, expected.state_dict()[name]), name
    save_file(hidden.state_dict(), tmp_path / "file.safetensors")
    again = build("shufflenet_v2", num_classes=10, width=0.5, head="hidden", pretrained=tmp_path / "file.safetensors")
    assert torch.equal(again.fc[0].weight, hidden.fc[0].weight)
    assert stages(hidden, 10)["head"] == ["fc.0.weight", "fc.0.bias", "fc.3.weight", "fc.3.bias"]


def test_extra_heads_of_published_weights_are_left_out(monkeypatch):
    """googlenet is published with two; the plain model takes the rest, and normalises nothing itself."""
    published = torchvision.models.googlenet(init_weights=False, aux_logits=True).state_dict()
    monkeypatch.setattr(torchvision.models.GoogLeNet_Weights, "get_state_dict", lambda *_, **__: dict(published))
    model = build("googlenet", num_classes=10, pretrained=True)
    assert torch.equal(model.conv1.conv.weight, published["conv1.conv.weight"])
    assert model.aux1 is None and not model.transform_input


def test_without_network_the_wanted_file_is_named(monkeypatch):
    """So that it can be fetched elsewhere and given as a path."""

    def offline(*_, **__):
        raise URLError("name or service not known")

    monkeypatch.setattr(torchvision.models.SqueezeNet1_1_Weights, "get_state_dict", offline)
    with pytest.raises(UserError, match=r"could not load 'squeezenet1_1-\w+.pth'.*local .safetensors file"):
        build("squeezenet1_1", num_classes=10, pretrained=True)


def test_without_network_timm_names_its_file_too(monkeypatch):
    """The tag is part of the name."""

    def offline(*_, **__):
        raise FileNotFoundError("cannot find the requested files")

    monkeypatch.setattr("timm.models._builder.load_state_dict_from_hf", offline)
    monkeypatch.setattr("timm.models._builder.load_custom_from_hf", offline)
    with pytest.raises(UserError, match=r"could not load 'test_resnet.r160_in1k \(model.safetensors\)'"):
        build("timm:test_resnet", num_classes=10, pretrained=True)


def test_a_timm_name_without_weights_or_with_a_wrong_tag():
    """Both say what there is."""
    with pytest.raises(UserError, match="no published weights for 'timm:mobilenetv2_035'"):
        build("timm:mobilenetv2_035", num_classes=10, pretrained=True)
    with pytest.raises(UserError, match=r"'resnet18.nonsense' has an unknown tag. .*resnet18.a1_in1k"):
        build("timm:resnet18.nonsense", num_classes=10, pretrained=True)


@pytest.mark.parametrize(
    ("name", "heads"),
    [("resnet18", ["fc"]), ("squeezenet1_1", ["classifier.1"]), ("timm:test_vit", ["head"]), ("cnn2", ["fc"])],
)
def test_heads_are_found(name, heads):
    """64 classes: layers inside that happen to be as wide are not heads."""
    assert head_names(build(name, num_classes=64), 64) == heads


def test_a_new_head_begins_small(tmp_path):
    """timm draws the head of an EfficientNet for six classes from +-0.41; beside a trained body it is N(0, 0.01)."""
    name = "timm:efficientnet_lite0"
    whole = build(name, num_classes=10, in_chans=3)
    assert whole.classifier.weight.abs().max() > 0.25, "the library's own, for ten classes"
    save_file(whole.state_dict(), tmp_path / "w.safetensors")
    net = build(name, num_classes=6, in_chans=3, pretrained=tmp_path / "w.safetensors")
    assert net.classifier.weight.std().item() == pytest.approx(0.01, rel=0.1) and not net.classifier.bias.any()
