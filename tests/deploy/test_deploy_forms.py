"""The same network in other forms: the probabilities of the exported file, and nothing in a file that should not be."""

import io
import json
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from strop.data.geometry import fit_square
from strop.deploy.forms import Source, forms
from strop.deploy.onnx import merge_preprocessing
from strop.deploy.pixels import FromPixels, scale_square, scaling
from strop.deploy.runtime import OnnxModel
from strop.deploy.settings import Settings

CLASSES = ["zebra", "ant", 'a "quoted" one', "été", "1", "b", "c", "d", "e", "f"]
SIZES = [(32, 32), (45, 61), (64, 70), (97, 33), (20, 24), (31, 400), (1, 7)]  # fits, shrunk, halved, enlarged


def settings(channels=3, size=32):
    return Settings(
        input_size=size, channels=channels, mean=[0.4, 0.5, 0.6][:channels], std=[0.25] * channels, temperature=1.7
    )


def pictures(height, width, count=1, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, height, width, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def written(exported, tmp_path_factory):
    """written(name, channels) -> (files of the form, what they open to, the exported file in ONNX Runtime)."""
    made = {}

    def get(name, channels):
        if (name, channels) not in made:
            net, float_file = exported("cnn3", channels)
            file = tmp_path_factory.mktemp(name) / "model.onnx"
            merge_preprocessing(float_file, file, settings(channels), CLASSES)
            files = forms.get(name).write(Source(net, file, settings(channels), CLASSES))
            made[name, channels] = files, forms.get(name).open(files), OnnxModel(file, threads=1)
        return made[name, channels]

    return get


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", ["openvino", "pt2"])
def test_probabilities_are_those_of_the_onnx_file(written, name, channels):
    """For pictures of every size, one and three at once; float32 in another order of sums, so not to the last bit."""
    pytest.importorskip(forms.get(name).package)
    _, opened, session = written(name, channels)
    for count in (1, 3):
        for height, width in SIZES:
            images = pictures(height, width, count)
            found, expected = opened(images), session(images)
            assert found.shape == (count, 10) and found.dtype == np.float32
            assert np.abs(found - expected).max() < 1e-4, (height, width)
    assert session(pictures(45, 61)).max() > 0.2  # uniform answers would agree whatever was wrong


PLACES = [str(Path(torch.__file__).parents[1]), str(Path(__file__).parents[2]), "site-packages", "/tmp"]


def test_pt2_holds_no_pickle_and_no_path(written):
    """Tensors, JSON and text only, and nothing that tells where the author keeps what."""
    [content] = written("pt2", 3)[0].values()
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    about = next(raw for name, raw in files.items() if name.endswith("extra/strop"))
    assert json.loads(about)["classes"] == CLASSES and json.loads(about)["preprocess"]["temperature"] == 1.7
    for name, raw in files.items():
        assert not raw.startswith((b"\x80", b"PK\x03\x04")), f"{name} may be a pickle"
        assert not [place for place in PLACES if place.encode() in raw], name


def test_openvino_says_what_it_is_and_no_path(written):
    """Settings and names in the graph; both files go together by name."""
    openvino = pytest.importorskip("openvino")
    graph, weights = written("openvino", 3)[0].values()
    assert not [place for place in PLACES if place.encode() in graph]
    model = openvino.Core().read_model(graph, openvino.Tensor(np.frombuffer(weights, np.uint8)))
    about = json.loads(model.get_rt_info(["strop"]).value)
    assert about["classes"] == CLASSES and about["preprocess"]["temperature"] == 1.7


def test_executorch_takes_squares(written):
    """Of its size, one and three at once, with the probabilities of the exported file."""
    pytest.importorskip("executorch", reason="executorch is not installed")
    for channels in (1, 3):
        _, opened, session = written("executorch", channels)
        for count in (1, 3):
            images = pictures(32, 32, count)
            found, expected = opened(images), session(images)
            assert found.shape == (count, 10) and np.abs(found - expected).max() < 1e-4


@pytest.mark.parametrize("side", [33, 45, 64, 97, 224])
@pytest.mark.parametrize("channels", [1, 3])
def test_shrinking_is_that_of_evaluation(side, channels):
    """OpenCV's INTER_AREA to the last bit, as `preprocessing` promises of the ONNX graph."""
    image = pictures(side, side, seed=side)[0]
    if channels == 1:
        image = image[:, :, :1]
    planes = torch.from_numpy(image.copy()).permute(2, 0, 1)[None].float().contiguous()
    assert np.array_equal(scale_square(planes, 32)[0].numpy(), fit_square(image, 32, channels))


def test_rows_of_the_scaling_sum_to_one():
    """A grey picture stays grey; a side that fits is left as it is; half the side is the mean of pairs."""
    for side in (1, 7, 31, 32, 33, 500):
        assert torch.allclose(scaling(side, 32).sum(1), torch.ones(32), atol=1e-6)
    assert torch.equal(scaling(32, 32), torch.eye(32))
    assert torch.equal(scaling(4, 2), torch.tensor([[0.5, 0.5, 0, 0], [0, 0, 0.5, 0.5]]))


def test_the_temperature_and_the_mean_are_in_the_network():
    """softmax(net((pixel / 255 - mean) / sd) / temperature), by hand."""
    about = settings()
    images = pictures(32, 32, 2)
    net = torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())
    normalised = (images.astype(np.float64) / 255 - about.mean) / about.std
    logits = normalised.mean((1, 2)) / 1.7
    expected = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    for scales in (False, True):
        found = FromPixels(net, about, scales=scales)(torch.from_numpy(images)).numpy()
        assert np.abs(found - expected).max() < 1e-6


def test_forms_say_what_they_write():
    """Each its own files, none of them one that export writes anyway; a program for the card, and why it may harm."""
    found = [forms.get(name) for name in forms.names()]
    files = [file for form in found for file in form.files]
    assert len(set(files)) == len(files) and all(file.startswith("model.") for file in files)
    assert not set(files) & {"model.onnx", "model.json", "model.safetensors"}
    for form in found:
        assert form.program.strip() and form.about.endswith(".") and form.danger and form.package
        assert any(file in form.program for file in form.files)


def test_forms_are_known_without_torch():
    """What verify asks of them before anything is opened."""
    program = (
        "import sys\n"
        "from strop.deploy.forms import forms\n"
        "[forms.get(name).files for name in forms.names()]\n"
        "print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("False\n", "")
