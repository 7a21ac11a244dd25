"""The first convolution over blocks of pixels: the same sums, bit for bit, and left alone where it does not fit."""

import numpy as np
import onnx
import pytest
import torch
import torch.nn as nn
import torch.nn.functional as F

from strop.deploy.onnx import export_float, merge_preprocessing
from strop.deploy.runtime import OnnxModel
from strop.deploy.settings import Settings
from strop.deploy.stem import find_stem, in_blocks, put_in_blocks
from strop.quantize.static import quantize_int8

SIZE = 32


def net(channels=1, kernel=7, stride=2, activation=nn.ReLU):
    torch.manual_seed(0)
    first = nn.Conv2d(channels, 16, kernel, stride, kernel // 2, bias=False)
    rest = nn.MaxPool2d(2), nn.Conv2d(16, 8, 3), nn.ReLU(), nn.Flatten(), nn.LazyLinear(10)
    return nn.Sequential(first, nn.BatchNorm2d(16), activation(), *rest)


@pytest.fixture
def quantized(tmp_path):
    """(channels, size, how the network is made) -> the path of its int8 file."""

    def get(channels=1, size=SIZE, **options):
        shape = channels, size, size
        model = net(channels, **options)
        model(torch.zeros(2, *shape))
        export_float(model, shape, tmp_path / "float.onnx")
        batch = np.random.default_rng(1).standard_normal((16, *shape)).astype(np.float32)
        quantize_int8(tmp_path / "float.onnx", tmp_path / "int8.onnx", [batch])
        return tmp_path / "int8.onnx"

    return get


@pytest.mark.parametrize(("channels", "kernel"), [(1, 7), (1, 5), (3, 3), (3, 7), (2, 4)])
def test_kernel_over_blocks_is_the_kernel(channels, kernel):
    """Blocks of 2 x 4 pixels as channels, convolved with stride 1, are the convolution with stride 2, exactly."""
    chance = np.random.default_rng(0)
    picture = chance.integers(0, 256, (2, channels, SIZE, SIZE)).astype(np.float64)
    weights = chance.integers(-127, 128, (5, channels, kernel, kernel)).astype(np.float64)
    pad = (kernel - 1) // 2
    right = kernel - 2 - pad  # what makes the sides half as long
    padded = F.pad(torch.from_numpy(picture), (pad, right, pad, right))
    expected = F.conv2d(padded, torch.from_numpy(weights), stride=2)
    assert expected.shape[2:] == (SIZE // 2, SIZE // 2)

    found, (top, left, bottom, beyond) = in_blocks(weights, pad, pad)
    blocks = picture.reshape(2, channels, SIZE // 2, 2, SIZE // 4, 4).transpose(0, 3, 5, 1, 2, 4)
    blocks = torch.from_numpy(blocks.reshape(2, 8 * channels, SIZE // 2, SIZE // 4))
    pairs = F.conv2d(F.pad(blocks, (left, beyond, top, bottom)), torch.from_numpy(found))
    pairs = pairs.reshape(2, 2, 5, SIZE // 2, SIZE // 4).permute(0, 2, 3, 4, 1).reshape(expected.shape)
    assert torch.equal(pairs, expected)


@pytest.mark.parametrize(("channels", "kernel", "activation"), [(1, 7, nn.ReLU), (3, 3, nn.ReLU6), (3, 7, nn.Identity)])
def test_the_file_answers_with_the_same_bits(quantized, tmp_path, channels, kernel, activation):
    path = quantized(channels, kernel=kernel, activation=activation)
    model = onnx.load(path)
    assert put_in_blocks(model.graph)
    onnx.checker.check_model(model)
    was, now = OnnxModel(path, threads=1), OnnxModel(model.SerializeToString(), threads=1)
    for n in (1, 3):
        images = np.random.default_rng(n).standard_normal((n, channels, SIZE, SIZE)).astype(np.float32)
        assert np.array_equal(was(images), now(images))


@pytest.mark.parametrize("options", [{"stride": 1}, {"size": 30}, {"channels": 4}])
def test_left_alone_where_it_does_not_fit(quantized, options):
    model = onnx.load(quantized(**options))
    before = model.SerializeToString()
    assert not put_in_blocks(model.graph) and model.SerializeToString() == before


def test_a_float_file_is_left_alone(quantized):
    """Sums of floats in another order are other sums."""
    assert find_stem(onnx.load(quantized().with_name("float.onnx")).graph) is None


def test_an_export_has_it(quantized, tmp_path):
    """What export writes answers as the bare quantized network and a softmax behind it do."""
    path = quantized()
    settings = Settings(input_size=SIZE, channels=1, mean=(0.5,), std=(0.25,))
    merge_preprocessing(path, tmp_path / "model.onnx", settings, list("abcdefghij"))
    assert any(tensor.name.startswith("strop_stem_") for tensor in onnx.load(tmp_path / "model.onnx").graph.initializer)
    grey = np.random.default_rng(0).integers(0, 256, (3, SIZE, SIZE, 1), dtype=np.uint8)
    scale, shift = np.float32(1 / (255 * np.float32(0.25))), np.float32(-2)
    normalised = grey.transpose(0, 3, 1, 2).astype(np.float32) * scale + shift
    logits = OnnxModel(path, threads=1)(normalised)
    expected = torch.from_numpy(logits).softmax(1).numpy()
    found = OnnxModel(tmp_path / "model.onnx", threads=1)(np.repeat(grey, 3, axis=3))
    assert np.abs(found - expected).max() < 1e-6
