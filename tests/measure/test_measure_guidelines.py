"""The four guidelines: the paper's formulas by hand, and networks that are known to keep or break them."""

import math

import pytest
import torch
import torchvision
from torch import nn

from strop.measure.guidelines import TITLES, branches, element_wise, grouped, guidelines, unequal_channels
from strop.measure.layers import blocks, outermost
from strop.measure.recording import record
from strop.models import build


def costs(name: str, **options) -> dict[str, dict]:
    with torch.device("meta"):
        net = build(name, num_classes=1000, input_size=224, **options)
    inside = set(blocks(net))
    found = guidelines(record(net, (3, 224, 224)), lambda path: outermost(path, inside))
    return {row["guideline"]: row for row in found}


def after_stem(*layers: nn.Module) -> nn.Module:
    """The layers behind one that reads the picture, whose channels nobody can choose."""
    return nn.Sequential(nn.Conv2d(3, 16, 1), *layers)


def test_g1_is_the_distance_from_the_bound():
    """HW (c1 + c2) + B / HW against 2 sqrt(HW B) + B / HW: equation 1 of the paper, for c1 : c2 = 1 : 4."""
    net = after_stem(nn.Conv2d(16, 64, 1, bias=False))
    hw, c1, c2 = 100, 16, 64
    b = hw * c1 * c2
    (finding,) = unequal_channels(record(net, (3, 10, 10)))
    assert finding.bytes == 4 * (hw * (c1 + c2) + b / hw - (2 * math.sqrt(hw * b) + b / hw))
    assert finding.where == "1" and finding.change.startswith("32 in, 32 out")


def test_g1_is_nothing_at_equality():
    """Nor does what reads the picture, has groups, changes the resolution or works on one position count."""
    net = after_stem(nn.Conv2d(16, 16, 3, padding=1), nn.Conv2d(16, 32, 3, stride=2), nn.Conv2d(32, 64, 1, groups=4))
    net.extend([nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10)])
    assert list(unequal_channels(record(net, (3, 10, 10)))) == []


def test_g1_the_papers_table():
    """Table 1 of the paper: at equal MACs, 1:12 moves more than 1:6, 1:2 and 1:1, in this order."""
    excess = [
        sum(
            f.bytes
            for f in unequal_channels(record(nn.Sequential(nn.Conv2d(3, c1, 1), nn.Conv2d(c1, c2, 1)), (3, 56, 56)))
        )
        for c1, c2 in ((128, 128), (90, 180), (52, 312), (36, 432))
    ]
    assert excess == sorted(excess) and excess[0] == 0


@pytest.mark.parametrize("groups", [2, 4, 8])
def test_g2_by_the_formula(groups):
    """2 sqrt(HW B g) + B / HW at equal channels, against one group with the same B: equation 2 of the paper."""
    net, hw, c = after_stem(nn.Conv2d(16, 16, 1, groups=groups, bias=False)), 100, 16
    b = hw * c * c / groups
    (finding,) = grouped(record(net, (3, 10, 10)))
    assert finding.bytes == round(4 * (2 * math.sqrt(hw * b * groups) - 2 * math.sqrt(hw * b)))


def test_g3_reading_twice_and_joining():
    """Two layers on one map: it is read once more than needed, and concatenation reads and writes all."""

    class Fire(nn.Module):
        def __init__(self):
            super().__init__()
            self.squeeze, self.a, self.b = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 8, 1), nn.Conv2d(4, 8, 3, padding=1)

        def forward(self, x):
            x = self.squeeze(x)
            return torch.cat([self.a(x), self.b(x)], 1)

    (finding,) = branches(record(Fire(), (3, 5, 5)), lambda path: "")
    assert finding.bytes == 4 * 25 * (4 + (8 + 8) + 16)
    assert finding.what == "2 branches, 3 kernels"
    chain = after_stem(nn.Conv2d(16, 16, 1), nn.ReLU(), nn.Conv2d(16, 16, 1))
    assert list(branches(record(chain, (3, 5, 5)), lambda path: "")) == []


def test_g4_counts_what_no_module_shows():
    """Additions, gates and depthwise layers; batch norm is folded away at export and does not count."""
    net = torchvision.models.resnet18()
    found = {finding.where: finding for finding in element_wise(record(net, (3, 64, 64)))}
    maps = [64 * 16 * 16] * 2 + [128 * 64] * 2 + [256 * 16] * 2 + [512 * 4] * 2
    assert found["addition"].bytes == 4 * 3 * sum(maps) and set(found) == {"addition", "activation"}
    depthwise = after_stem(nn.Conv2d(16, 16, 3, padding=1, groups=16, bias=False))
    (finding,) = element_wise(record(depthwise, (3, 5, 5)))
    assert finding.bytes == 4 * (2 * 25 * 16 + 16 * 9) and finding.where == "depthwise convolution"


def test_networks_that_are_known_for_it():
    """MobileNetV2 widens six times (G1), ResNeXt has groups (G2), SqueezeNet eight forks (G3); ShuffleNetV2 was made
    by the guidelines: no groups but depthwise, no additions."""
    mobile, next_, squeeze, shuffle = map(
        costs, ("mobilenet_v2", "resnext50_32x4d", "squeezenet1_1", "shufflenet_v2_x1_0")
    )
    assert mobile["G1"]["share"] > 10 * shuffle["G1"]["share"]
    assert len(next_["G2"]["findings"]) == 16 and next_["G2"]["share"] > 0 == shuffle["G2"]["bytes"]
    fires = [finding["where"] for finding in squeeze["G3"]["findings"]]
    assert len(fires) == 8 and all("2 branches" in finding["what"] for finding in squeeze["G3"]["findings"])
    assert "addition" not in {finding["where"] for finding in shuffle["G4"]["findings"]}
    assert "depthwise convolution" in {finding["where"] for finding in mobile["G4"]["findings"]}
    for row in mobile.values():
        assert row["title"] == TITLES[row["guideline"]]
        assert row["bytes"] == sum(finding["bytes"] for finding in row["findings"])
        assert [f["bytes"] for f in row["findings"]] == sorted((f["bytes"] for f in row["findings"]), reverse=True)


def test_shufflenets():
    """V1 has two grouped 1x1 layers in each of 16 units, but for the first, which reads the 24 channels of the stem:
    31; and additions. V2 has neither. More groups cost more."""
    first, second = costs("shufflenet_v1", groups=3), costs("shufflenet_v2")
    assert len(first["G2"]["findings"]) == 31 and second["G2"]["findings"] == []
    assert "addition" in {finding["where"] for finding in first["G4"]["findings"]}
    assert "addition" not in {finding["where"] for finding in second["G4"]["findings"]}
    assert costs("shufflenet_v1", groups=8)["G2"]["share"] > first["G2"]["share"]
