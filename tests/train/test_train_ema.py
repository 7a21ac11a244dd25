"""The moving average of the weights."""

import pytest
import torch
from torch import nn

from strop.train.ema import decay_at, start_average, update_average


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Linear(3, 2))


def move(net, seed):
    """New weights and new statistics."""
    torch.manual_seed(seed)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(torch.randn_like(parameter))
    net.train()(torch.randn(8, 4))


def test_by_hand_over_three_updates():
    """a <- decay a + (1 - decay) w, in the order in which the weights came; the model stays as it was."""
    net = network()
    average = start_average(net)
    expected = {name: tensor.double().clone() for name, tensor in net.named_parameters()}
    for seed in (1, 2, 3):
        move(net, seed)
        before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
        update_average(average, net, 0.7)
        assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())
        for name, parameter in net.named_parameters():
            expected[name] = 0.7 * expected[name] + 0.3 * parameter.detach().double()
    for name, tensor in expected.items():
        torch.testing.assert_close(average[name].double(), tensor, rtol=1e-5, atol=1e-6)


def test_buffers_are_copied():
    """Running mean, variance and the counter are those of the last update, not averages of them."""
    net = network()
    average = start_average(net)
    move(net, 1)
    update_average(average, net, 0.999)
    buffers = dict(net.named_buffers())
    assert {"1.running_mean", "1.running_var", "1.num_batches_tracked"} == buffers.keys()
    assert all(torch.equal(average[name], buffer) for name, buffer in buffers.items())
    assert average.keys() == net.state_dict().keys()


@pytest.mark.parametrize(("decay", "same_as"), [(0.0, "model"), (1.0, "start")])
def test_the_ends(decay, same_as):
    """Decay 0 is the model, decay 1 never moves."""
    net = network()
    average, start = start_average(net), start_average(net)
    move(net, 1)
    update_average(average, net, decay)
    expected = dict(net.named_parameters()) if same_as == "model" else start
    for name, _ in net.named_parameters():
        torch.testing.assert_close(average[name], expected[name].detach(), rtol=1e-6, atol=0)


def test_a_young_average_forgets_where_it_began():
    """With the warm-up, after 100 updates to a constant w the start weighs under 1e-10; at a plain 0.999, 90 %."""
    left = plain = 1.0
    for update in range(100):
        left *= decay_at(update, 0.999)
        plain *= 0.999
    assert left < 1e-10 and plain == pytest.approx(0.9, abs=0.01)


def test_shared_parameters_are_averaged_under_each_name():
    """A state dict names them twice; loading it must not depend on which comes last."""
    net = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    net[1].weight = net[0].weight
    average = start_average(net)
    with torch.no_grad():
        net[0].weight.add_(1.0)
    update_average(average, net, 0.5)
    assert torch.equal(average["0.weight"], average["1.weight"])
    torch.testing.assert_close(average["0.weight"], net[0].weight.detach() - 0.5)
