"""The network for small pictures: sizes by hand, and what it can't take."""

import pytest
import torch

from strop.errors import UserError
from strop.measure.complexity import count_macs
from strop.models import build


def test_sizes_by_hand():
    """Convolutions k*k*in*out, two numbers a channel of batch norm, the linear layer; MACs times the map's pixels."""
    net = build("cnn_fast", num_classes=10, in_chans=1)
    kernels = [16 * 1 * 32, 9 * 32 * 64, 9 * 64 * 128, 9 * 128 * 256]
    norms, linear = 2 * (32 + 64 + 128 + 256), 256 * 10
    assert sum(p.numel() for p in net.parameters()) == sum(kernels) + norms + linear + 10 == 391_114
    by_layer = [kernel * side**2 for kernel, side in zip(kernels, (14, 14, 7, 3), strict=True)]
    assert count_macs(net, (1, 28, 28)) == sum(by_layer) + linear


def test_the_residual_one_begins_as_the_plain_one_would_without_its_blocks():
    """With silent blocks (their last scale at zero and no shift) the sum hands its input through."""
    torch.manual_seed(0)
    net = build("cnn_fast", num_classes=3, in_chans=1, width=8, residual=True).eval()
    block, images = net[3], torch.randn(2, 16, 7, 7)
    torch.nn.init.zeros_(block.body[1][1].weight)
    assert torch.equal(block(images), images)
    torch.nn.init.ones_(block.body[1][1].weight)
    assert not torch.equal(block(images), images)


@pytest.mark.parametrize(
    ("options", "shown"),
    [({"input_size": 12}, "12 is too small .* Write 16 or more"), ({"width": 4}, "4 is too narrow. Write 8 or more")],
)
def test_too_small(options, shown):
    """The value, and what to write."""
    with pytest.raises(UserError, match=shown):
        build("cnn_fast", num_classes=3, **options)
