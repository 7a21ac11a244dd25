"""Figures of weights: known spreads, and int8 by hand."""

import math

import pytest
import torch
from torch import nn

from strop.measure.responses import response_sds
from strop.measure.weights import BINS, describe_tensor, describe_weights, outline_weights


@pytest.fixture(scope="module")
def gaussian() -> dict:
    return describe_tensor(2.0 * torch.randn(200, 5000, generator=torch.Generator().manual_seed(0)) + 1.0)


def test_a_gaussian(gaussian):
    """Kurtosis 3, and 6.33e-5 of the weights beyond 4 sd: erfc(4 / sqrt 2)."""
    assert gaussian["mean"] == pytest.approx(1, abs=0.01) and gaussian["sd"] == pytest.approx(2, rel=0.005)
    assert gaussian["kurtosis"] == pytest.approx(3, abs=0.03)
    assert gaussian["outliers"] == pytest.approx(math.erfc(4 / math.sqrt(2)), abs=3e-5)
    assert gaussian["zeros"] == 0


def test_near_zero_of_a_gaussian():
    """|w| < 0.01 rms holds for erf(0.01 / sqrt 2) = 0.8 % of a Gaussian without mean."""
    found = describe_tensor(torch.randn(100, 10_000, generator=torch.Generator().manual_seed(1)))
    assert found["near_zero"] == pytest.approx(math.erf(0.01 / math.sqrt(2)), rel=0.05)


def test_a_uniform_spread_uses_eight_bits():
    """Power a**2 / 3 over noise (a / 127)**2 / 12: 10 log10(4 * 127**2) = 48.1 dB = 8 bits; kurtosis 9 / 5."""
    found = describe_tensor(torch.linspace(-1, 1, 500_001).view(1, -1))
    assert found["int8_db"] == pytest.approx(10 * math.log10(4 * 127**2), abs=0.05)
    assert found["int8_bits"] == pytest.approx(8, abs=0.02)
    assert found["int8_levels"] == 1 and found["kurtosis"] == pytest.approx(1.8, abs=1e-4)


def test_an_outlier_costs_resolution():
    """One weight ten times as large as the rest: the same noise power grows a hundredfold, 20 dB."""
    calm = torch.linspace(-1, 1, 100_001).view(1, -1)
    loud = torch.cat([calm, torch.tensor([[10.0]])], 1)
    assert describe_tensor(calm)["int8_db"] - describe_tensor(loud)["int8_db"] == pytest.approx(20, abs=0.3)
    channels = torch.cat([loud, 0.1 * loud])
    found = describe_tensor(channels)
    assert found["int8_db"] == pytest.approx(describe_tensor(loud)["int8_db"], abs=1e-6), "each channel has its scale"
    assert found["int8_worst_channel_db"] == pytest.approx(found["int8_db"], abs=1e-3)


def test_what_int8_holds_exactly_is_not_lost():
    """Multiples of max / 127 lose nothing: no noise, so no figure; zeros only have none either."""
    found = describe_tensor(torch.arange(-127.0, 128.0).view(1, -1))
    assert found["int8_db"] is None and found["int8_levels"] == 1
    dead = describe_tensor(torch.zeros(4, 4))
    assert dead["zeros"] == dead["near_zero"] == 1 and dead["kurtosis"] is None and dead["int8_bits"] is None


def test_chunks_change_nothing(monkeypatch):
    """Large layers are read in parts."""
    weights = torch.randn(64, 3, 5, 5, generator=torch.Generator().manual_seed(2))
    whole = describe_tensor(weights)
    monkeypatch.setattr("strop.measure.weights._CHUNK", 300)
    parts = describe_tensor(weights)
    assert parts.pop("histogram") == whole.pop("histogram")
    assert parts == pytest.approx(whole)


def test_every_layer_with_a_matrix_or_a_kernel():
    """Attention's projections too; norms and biases are no matrices; counts of a histogram sum to n."""
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.TransformerEncoderLayer(4, 2, 8))
    found = describe_weights(net)
    assert [row["name"] for row in found] == [
        "0", "2.self_attn.in_proj_weight", "2.self_attn.out_proj", "2.linear1", "2.linear2"
    ]  # fmt: skip
    for row in found:
        counts = row["histogram"]["counts"]
        assert len(counts) == BINS and sum(counts) == row["n"] == math.prod(row["shape"])


def test_responses_by_hand():
    """Behind a norm that follows directly, before what comes then; a layer without one as it is."""
    net = nn.Sequential(nn.Conv2d(1, 1, 1, bias=False), nn.BatchNorm2d(1), nn.ReLU(inplace=True), nn.Conv2d(1, 1, 1))
    nn.init.constant_(net[0].weight, 3.0)
    nn.init.constant_(net[1].weight, 2.0)
    nn.init.constant_(net[3].weight, 5.0)
    pictures = torch.randn(8, 1, 16, 16, generator=torch.Generator().manual_seed(3))
    found = response_sds(net.train(), [pictures[:3], pictures[3:]])
    assert found["0"] == pytest.approx(6 * float(pictures.double().std(correction=0)), rel=1e-4)
    relu = (6 * pictures.double()).clamp_min(0)
    assert found["3"] == pytest.approx(5 * float(relu.std(correction=0)), rel=1e-4)
    assert net.training and not any(module._forward_hooks for module in net.modules())


def test_a_norm_elsewhere_is_not_a_layers_own():
    """Where something lies between, the layer's output counts as it is."""
    net = nn.Sequential(nn.Conv2d(1, 1, 1, bias=False), nn.ReLU(), nn.BatchNorm2d(1))
    nn.init.constant_(net[0].weight, 3.0)
    nn.init.constant_(net[2].weight, 100.0)
    pictures = torch.randn(4, 1, 8, 8, generator=torch.Generator().manual_seed(4))
    assert response_sds(net, [pictures])["0"] == pytest.approx(3 * float(pictures.double().std(correction=0)), rel=1e-4)


def test_the_outline_is_that_of_the_whole_description():
    """Same layers, counts and zeros; mean and sd to what float32 sums keep."""
    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Flatten(), nn.Linear(8, 4))
    with torch.no_grad():
        net[3].weight[0] = 0
    for short, whole in zip(outline_weights(net), describe_weights(net), strict=True):
        assert {key: short[key] for key in ("name", "shape", "n", "zeros")} == {
            key: whole[key] for key in ("name", "shape", "n", "zeros")
        }
        assert short["histogram"]["counts"] == whole["histogram"]["counts"]
        assert (short["mean"], short["sd"]) == pytest.approx((whole["mean"], whole["sd"]), rel=1e-4, abs=1e-7)
