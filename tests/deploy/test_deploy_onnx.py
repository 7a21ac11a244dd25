"""Exported files against the network in torch: float, with preprocessing, and quantized."""

import numpy as np
import onnx
import pytest
import torch

from strop.deploy.onnx import merge_preprocessing
from strop.deploy.runtime import OnnxModel
from strop.deploy.settings import Settings, read_about
from strop.errors import UserError
from strop.quantize.static import quantize_int8

CLASSES = list("abcdefghij")
MEAN, STD = (0.4914, 0.4822, 0.4465), (0.247, 0.2435, 0.2616)


def normalised(pixels, channels):
    """(pixel / 255 - mean) / std, written out in float64."""
    mean, std = (np.array(values[:channels]).reshape(-1, 1, 1) for values in (MEAN, STD))
    return ((pixels / 255 - mean) / std).astype(np.float32)


def softmax(logits):
    shifted = np.exp(logits.astype(np.float64) - logits.max(1, keepdims=True))
    return shifted / shifted.sum(1, keepdims=True)


def pixels(n, channels, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, channels, 32, 32), dtype=np.uint8)


def settings(channels, **more):
    about = {"input_size": 32, "channels": channels, "mean": MEAN[:channels], "std": STD[:channels]}
    return Settings(**about | more)


def merge(source, target, channels, **more):
    merge_preprocessing(source, target, settings(channels, **more), CLASSES)
    return OnnxModel(target, threads=1)


def rgb(images):
    """(B, C, H, W) as an exported file takes it."""
    return np.repeat(images.transpose(0, 2, 3, 1), 4 - images.shape[1] if images.shape[1] == 1 else 1, axis=3)


@pytest.mark.parametrize(
    ("name", "channels", "budget"),
    [
        ("cnn3", 1, None),
        pytest.param("resnet18", 1, None, marks=pytest.mark.slow),
        pytest.param("resnet18", 1, "9%", marks=pytest.mark.slow),
    ],
)
@torch.no_grad()
def test_parity_with_torch_at_any_batch(exported, name, channels, budget):
    """Logits within 1e-4, for batches of 1, 2 (as traced), 3 and 17."""
    net, path = exported(name, channels, budget)
    session = OnnxModel(path, threads=1)
    for n in (1, 2, 3, 17):
        images = torch.randn(n, channels, 32, 32, generator=torch.Generator().manual_seed(n))
        found, expected = session(images.numpy()), net(images).numpy()
        assert found.shape == (n, 10) and np.abs(found - expected).max() < 1e-4
    assert session.dtype == np.float32 and session.shape == (channels, 32, 32)


def test_the_file_stands_alone(exported):
    """All weights are inside: no external data, no other file beside it."""
    _, path = exported("cnn3")
    assert [item.name for item in path.parent.iterdir()] == ["float.onnx"]
    assert not any(tensor.external_data for tensor in onnx.load(path, load_external_data=False).graph.initializer)


def test_the_file_says_nothing_of_where_it_was_made(exported):
    """torch notes the line of source behind each operator; such paths are nobody else's business."""
    content = exported("cnn3")[1].read_bytes()
    assert b".py" not in content and b"stack_trace" not in content


@pytest.mark.parametrize("channels", [1, 3])
@torch.no_grad()
def test_pixels_in_probabilities_out(exported, tmp_path, channels):
    """The merged file gives softmax(net((pixel / 255 - mean) / std)) within 1e-5, from uint8."""
    net, source = exported("cnn3", channels)
    session = merge(source, tmp_path / "model.onnx", channels)
    assert session.dtype == np.uint8 and session.shape == (channels, 32, 32) and session.input.name == "images"
    assert session.input.shape == ["batch", "height", "width", 3]
    for n in (1, 5):
        images = pixels(n, channels)
        found = session(rgb(images))
        expected = softmax(net(torch.from_numpy(normalised(images, channels))).numpy())
        assert found.dtype == np.float32 and found.shape == (n, 10)
        assert np.abs(found - expected).max() < 1e-5
        assert np.abs(found.sum(1) - 1).max() < 1e-5


def test_each_channel_has_its_own_mean_and_sd(exported, tmp_path):
    """A file with the channels' means exchanged answers otherwise: they are not averaged away."""
    _, source = exported("cnn3", 3)
    right = merge(source, tmp_path / "right.onnx", 3)
    wrong = merge(source, tmp_path / "wrong.onnx", 3, mean=MEAN[::-1], std=STD[::-1])
    images = rgb(pixels(4, 3))
    assert np.abs(right(images) - wrong(images)).max() > 1e-4


def test_temperature_divides_the_logits(exported, tmp_path):
    """softmax(logits / 2), from the logits of the bare network; the class stays, the probability falls."""
    _, source = exported("cnn3")
    images = pixels(6, 1)
    logits = OnnxModel(source, threads=1)(normalised(images, 1))
    warm = merge(source, tmp_path / "warm.onnx", 1, temperature=2)(rgb(images))
    assert np.abs(warm - softmax(logits / 2)).max() < 1e-5
    assert (warm.max(1) < softmax(logits).max(1)).all() and (warm.argmax(1) == logits.argmax(1)).all()


@pytest.mark.parametrize("channels", [1, 3])
def test_the_file_says_what_it_is(exported, tmp_path, channels):
    """Settings and class names are in the metadata; a file without them is refused."""
    session = merge(exported("cnn3", channels)[1], tmp_path / "model.onnx", channels, temperature=1.5, alpha="black")
    assert session.about.classes == CLASSES
    assert session.about.preprocess == settings(channels, temperature=1.5, alpha="black")
    model = onnx.load(tmp_path / "model.onnx")
    del model.metadata_props[:]
    onnx.save(model, tmp_path / "bare.onnx")
    with pytest.raises(UserError, match="does not say what it does to pictures"):
        OnnxModel(tmp_path / "bare.onnx")


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{", '{"format": 1}', '{"format": 1, "classes": [], "preprocess": {}}', "[" * 100_000]
    + ['{"format": 1, "classes": ["a"], "preprocess": {"input_size": 4, "channels": 1, "mean": [0], "std": [0]}}'],
)
def test_metadata_that_is_none(text):
    """Whatever a file says about itself, the message names the file."""
    with pytest.raises(UserError, match=r"^bad\.onnx"):
        read_about({"strop": text}, "bad.onnx")


def test_an_int8_file_keeps_its_numbers(exported, tmp_path):
    """Merging puts nodes before and after the quantized graph and leaves what is between."""
    _, source = exported("cnn3")
    images = pixels(40, 1)
    floats = normalised(images, 1)
    quantize_int8(source, tmp_path / "int8.onnx", [floats])
    session = merge(tmp_path / "int8.onnx", tmp_path / "model.onnx", 1)
    answers = session(rgb(images))
    inner = OnnxModel(tmp_path / "int8.onnx", threads=1)(floats)
    # A pixel at the edge between two steps of the input's 8 bits may fall on the other side: one step, not more.
    assert np.abs(answers - softmax(inner)).max() < 5e-3
    assert np.median(np.abs(answers - softmax(inner))) < 1e-5
    before, after = (
        {t.name: onnx.numpy_helper.to_array(t) for t in onnx.load(tmp_path / name).graph.initializer}
        for name in ("int8.onnx", "model.onnx")
    )
    assert set(after) - set(before) == {"strop_scale", "strop_shift", "strop_temperature"}
    assert all(np.array_equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize("content", [b"", b"garbage", b"\x08\x09" * 100])
def test_a_file_that_is_no_model(tmp_path, content):
    """The path is named, no traceback of the runtime's."""
    (tmp_path / "bad.onnx").write_bytes(content)
    with pytest.raises(UserError, match=r"bad\.onnx"):
        OnnxModel(tmp_path / "bad.onnx")


def test_a_file_that_is_not_there(tmp_path):
    """As above."""
    with pytest.raises(UserError, match=r"none\.onnx"):
        OnnxModel(tmp_path / "none.onnx")


def test_a_truncated_file(exported, tmp_path):
    """Half a file is no model."""
    (tmp_path / "half.onnx").write_bytes(exported("cnn3")[1].read_bytes()[:5000])
    with pytest.raises(UserError, match=r"half\.onnx"):
        OnnxModel(tmp_path / "half.onnx")


@pytest.mark.parametrize("where", ["beside", "elsewhere", "above", "absolute"])
def test_data_outside_the_file_is_not_read(exported, tmp_path, monkeypatch, where):
    """A graph that points at another file is refused, also when that file lies in the working directory."""
    _, source = exported("cnn3")
    inside = tmp_path / "inside"
    inside.mkdir()
    onnx.save(
        onnx.load(source),
        inside / "model.onnx",
        save_as_external_data=True,
        location="weights.bin",
        size_threshold=1000,
    )
    assert (inside / "weights.bin").stat().st_size > 100_000
    monkeypatch.chdir(tmp_path if where == "elsewhere" else inside)
    if where in ("above", "absolute"):
        model = onnx.load(inside / "model.onnx", load_external_data=False)
        (inside / "weights.bin").rename(tmp_path / "weights.bin")
        location = "../weights.bin" if where == "above" else str(tmp_path / "weights.bin")
        for tensor in model.graph.initializer:
            for entry in tensor.external_data:
                if entry.key == "location":
                    entry.value = location
        (inside / "model.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(UserError, match="model.onnx"):
        OnnxModel(inside / "model.onnx")
