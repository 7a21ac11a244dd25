"""Names, libraries and the index."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import timm
import torch
import torchvision

import strop.models
from strop.errors import UserError
from strop.measure.complexity import complexity
from strop.models import default_input_size, known, models, preprocessing, resolve

INDEX = json.loads(Path(strop.models.__file__).with_name("index.json").read_text(encoding="utf-8"))["models"]


def names_of(library):
    return sorted(line["name"] for line in INDEX if line["library"] == library)


def test_index_names_are_those_of_the_libraries():
    """A new torchvision or timm needs a new index: run tools/make_model_index.py."""
    assert names_of("torchvision") == sorted(torchvision.models.list_models(module=torchvision.models))
    assert names_of("timm") == sorted(timm.list_models())
    assert names_of("strop") == models.names()


def test_index_stays_small():
    """It is read on every look-up."""
    assert Path(strop.models.__file__).with_name("index.json").stat().st_size < 400_000


@pytest.mark.parametrize(
    ("name", "parameters", "build"),
    [
        ("squeezenet1_1", 1_235_496, torchvision.models.squeezenet1_1),
        ("resnet50", 25_557_032, torchvision.models.resnet50),
        ("vit_tiny_patch16_224", 5_717_416, lambda: timm.create_model("vit_tiny_patch16_224")),
    ],
)
def test_sampled_index_lines_agree_with_the_models(name, parameters, build):
    """Published parameter counts at 1000 classes, and our own counter at the default input size."""
    line = next(line for line in INDEX if line["name"] == name)
    with torch.device("meta"):
        counted = complexity(build(), (3, line["input_size"], line["input_size"]))
    assert (line["parameters"], line["macs"]) == (parameters, counted["macs"])
    assert line["parameters"] == counted["parameters"]


@pytest.mark.parametrize("name", models.names())
def test_the_lines_of_our_own_networks_are_fresh(name):
    """Whoever changes one runs tools/make_model_index.py (a few seconds)."""
    line = next(line for line in INDEX if (line["library"], line["name"]) == ("strop", name))
    with torch.device("meta"):
        net = strop.models.build(name, num_classes=1000)
    counted = complexity(net, (3, line["input_size"], line["input_size"]))
    assert (line["parameters"], line["macs"]) == (counted["parameters"], counted["macs"])
    assert line["weights"] == ("torchvision" if getattr(net, "published", None) else None)


@pytest.mark.parametrize(("name", "has_weights"), [("resnet18", True), ("resnet200", False)])
def test_the_index_says_whether_timm_publishes_weights(name, has_weights):
    """As timm's own configuration says; torchvision publishes all of its."""
    line = next(line for line in INDEX if (line["library"], line["name"]) == ("timm", name))
    assert (line["weights"] == "timm") == bool(timm.get_pretrained_cfg(name).has_weights) == has_weights
    assert {line["weights"] for line in INDEX if line["library"] == "torchvision"} == {"torchvision"}


def test_bare_names_are_looked_up_in_one_order():
    """strop's own models, then torchvision, then timm."""
    assert resolve("cnn2") == ("strop", "cnn2")
    assert resolve("resnet18") == ("torchvision", "resnet18")
    assert resolve("vit_tiny_patch16_224") == ("timm", "vit_tiny_patch16_224")


def test_a_prefix_says_the_library():
    """Names that exist twice can be told apart; timm's may carry a tag."""
    assert resolve("tv:resnet18") == ("torchvision", "resnet18")
    assert resolve("timm:resnet18") == ("timm", "resnet18")
    assert resolve("timm:resnet18.a1_in1k") == ("timm", "resnet18.a1_in1k")


@pytest.mark.parametrize(
    ("name", "hint"),
    [("resnet81", "Did you mean 'resnet18'?"), ("tv:cnn2", "lists all 80"), ("torch:resnet18", "Write tv:NAME")],
)
def test_unknown_names_say_what_to_write(name, hint):
    """The wrong value is shown, with the nearest name or the form to use."""
    with pytest.raises(UserError) as caught:
        resolve(name)
    assert f"'{name}'" in str(caught.value) and hint in str(caught.value)


def test_known_takes_a_part_of_a_name_or_a_glob():
    """An exact name gives just that model, from every library that has it."""
    assert [info.library for info in known("resnet18")] == ["torchvision", "timm"]
    assert {info.library for info in known("timm:resnet*")} == {"timm"}
    assert [info.name for info in known("cnn?")] == ["cnn2", "cnn3", "cnn5"]
    assert all("mobilenet" in info.name for info in known("mobilenet")) and len(known("mobilenet")) > 10
    assert len(known()) == len({(info.library, info.name) for info in known()})


def test_looking_up_does_not_import_torch():
    """Help, completion and config errors must stay fast."""
    code = (
        "import sys, strop.models as m; m.known(); m.resolve('resnet18'); m.default_input_size('cnn2'); "
        "m.preprocessing('resnet18', True); print('torch' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=_environment())
    assert run.stdout.strip() == "False"


def _environment():
    return {"PYTHONPATH": str(Path(strop.models.__file__).parents[2])}


def test_default_input_sizes_are_those_of_the_weights():
    """Our own say it in their signature; a tag of timm may have a size of its own."""
    assert default_input_size("cnn5") == 32
    assert default_input_size("resnet18") == 224
    assert default_input_size("inception_v3") == 299
    assert default_input_size("timm:convnext_base.fb_in22k_ft_in1k_384") == 384


def test_preprocessing_belongs_to_published_weights():
    """torchvision: ImageNet's mean and std; timm: what its configuration says; nothing without weights."""
    assert preprocessing("resnet18", True) == {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}
    assert preprocessing("vit_tiny_patch16_224", True) == {"mean": [0.5] * 3, "std": [0.5] * 3}
    assert preprocessing("resnet18", False) is None
    assert preprocessing("cnn2", "weights.safetensors") is None


def test_the_halves_of_inception_are_its_own_transform():
    """Inception's weights turn ImageNet-normalised pictures into [-1, 1]; we normalise to [-1, 1] at once."""
    pixels = torch.rand(2, 3, 4, 4)
    usual, halves = preprocessing("resnet18", True), preprocessing("inception_v3", True)
    columns = {key: torch.tensor(usual[key]).view(1, 3, 1, 1) for key in usual}
    with torch.device("meta"):
        theirs = torchvision.models.inception_v3(transform_input=True, init_weights=False)
    transformed = theirs._transform_input((pixels - columns["mean"]) / columns["std"])
    torch.testing.assert_close((pixels - halves["mean"][0]) / halves["std"][0], transformed)
