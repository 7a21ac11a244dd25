"""Schedules by hand values, and which parameters are decayed."""

import math

import pytest
import safetensors.torch
import torch
from torch import nn

from strop import models
from strop.data.load import Loader, MemoryPictures
from strop.data.parts import Parts
from strop.errors import UserError
from strop.models.stages import stages
from strop.train import checkpoint
from strop.train.fit import fit
from strop.train.losses import losses
from strop.train.objective import Supervised
from strop.train.optim import clip_gradients, layer_scales, make_optimizer, make_schedule
from strop.train.optimizers import optimizers
from strop.train.schedules import schedules
from strop.train.timm_optimizers import NAMES

HAND_VALUES = {
    # (1 + cos(pi u)) / 2 at a quarter is (1 + sqrt(1/2)) / 2
    "cosine": {0: 1.0, 0.25: (1 + math.sqrt(0.5)) / 2, 0.5: 0.5, 0.75: (1 - math.sqrt(0.5)) / 2},
    "constant": {0: 1.0, 0.5: 1.0, 0.99: 1.0},
    "exponential": {0: 1.0, 0.5: 0.1, 0.25: math.sqrt(0.1)},
    "step": {0: 1.0, 0.33: 1.0, 0.34: 0.1, 0.66: 0.1, 0.67: 0.01, 0.99: 0.01},
}


@pytest.mark.parametrize("name", HAND_VALUES)
@pytest.mark.parametrize("warmup", [0.0, 0.2])
def test_shapes(name, warmup):
    """The shape runs over what the warm-up leaves."""
    factor = make_schedule(name, warmup=warmup)
    for u, expected in HAND_VALUES[name].items():
        assert factor(warmup + u * (1 - warmup)) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("name", HAND_VALUES)
def test_warm_up(name):
    """It rises in equal steps from close to 0 and meets the shape's 1."""
    factor = make_schedule(name, warmup=0.1)
    rising = [factor(t) for t in (0.0, 0.025, 0.05, 0.075)]
    steps = [b - a for a, b in zip(rising, rising[1:], strict=False)]
    assert 0 < rising[0] < 0.02 and steps == pytest.approx([steps[0]] * 3)
    assert rising[-1] + steps[0] == pytest.approx(1.0) and factor(0.1) == 1.0


@pytest.mark.parametrize("name", ["cosine", "exponential", "step"])
def test_after_the_warm_up_it_never_rises(name):
    """Monotone, and between 0 and 1."""
    factor = make_schedule(name, warmup=0.1)
    values = [factor(0.1 + 0.9 * i / 1000) for i in range(1000)]
    assert all(0 <= b <= a <= 1 for a, b in zip(values, values[1:], strict=False))


def network():
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 2))
    net[0].weight.requires_grad_(False)
    return net


@pytest.mark.parametrize(("name", "kind"), [("sgd", "SGD"), ("adam", "Adam"), ("adamw", "AdamW")])
def test_groups(name, kind):
    """Weights are decayed, biases and norms are not, frozen parameters are not there at all."""
    net = network()
    optimizer = make_optimizer(net, name, lr=0.3, weight_decay=0.02)
    assert type(optimizer).__name__ == kind
    decay = {id(p): group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}
    expected = {net[3].weight: 0.02, net[0].bias: 0, net[1].weight: 0, net[1].bias: 0, net[3].bias: 0}
    assert decay == {id(parameter): value for parameter, value in expected.items()}
    assert all(group["lr"] == 0.3 for group in optimizer.param_groups)


def test_decay_alone_shrinks_weights_only():
    """With gradients of zero, AdamW's step is w * (1 - lr * decay) and leaves the rest as it was."""
    net = network()
    optimizer = make_optimizer(net, "adamw", lr=0.1, weight_decay=0.5)
    before = {name: p.clone() for name, p in net.named_parameters()}
    for parameter in net.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    for name, parameter in net.named_parameters():
        factor = 1 - 0.1 * 0.5 if name == "3.weight" else 1.0
        torch.testing.assert_close(parameter, before[name] * factor)


@pytest.mark.parametrize("gradient_layout", [torch.channels_last, torch.contiguous_format])
@pytest.mark.parametrize("weight_layout", [torch.channels_last, torch.contiguous_format])
def test_sgd_follows_its_formula_whatever_the_layouts(weight_layout, gradient_layout):
    """v <- m v + g; w <- w - lr (g + m v), by hand. torch 2.15's fused step alone mixes places up here."""
    generator = torch.Generator().manual_seed(0)
    start, *gradients = (torch.randn(8, 4, 3, 3, generator=generator) for _ in range(4))
    weight = torch.nn.Parameter(start.clone(memory_format=weight_layout))
    optimizer = optimizers.get("sgd")([{"params": [weight], "weight_decay": 0.1}], 0.5)
    expected, velocity = start.clone(), torch.zeros_like(start)
    for gradient in gradients:
        weight.grad = gradient.clone(memory_format=gradient_layout)
        optimizer.step()
        state = optimizer.state[weight]
        state["momentum_buffer"] = state["momentum_buffer"].contiguous()  # as it comes from a checkpoint
        whole = gradient + 0.1 * expected
        velocity = 0.9 * velocity + whole
        expected = expected - 0.5 * (whole + 0.9 * velocity)
    torch.testing.assert_close(weight.detach(), expected, rtol=0, atol=1e-5)


def test_sgd_has_nesterov_momentum():
    """Two steps under a constant gradient of 1 go 1.9 and 2.71 learning rates: v = 1, 1.9; step = 1 + 0.9 v."""
    weight = nn.Linear(1, 1, bias=False)
    optimizer = make_optimizer(weight, "sgd", lr=1.0, weight_decay=0.0)
    before = weight.weight.item()
    for expected in (1.9, 1.9 + 2.71):
        weight.weight.grad = torch.ones(1, 1)
        optimizer.step()
        assert before - weight.weight.item() == pytest.approx(expected, rel=1e-5)


def test_an_unknown_optimizer_is_named():
    """With what was meant."""
    with pytest.raises(UserError, match="'adamv' is unknown. Did you mean 'adam'"):
        make_optimizer(network(), "adamv", lr=0.1, weight_decay=0.0)


PER_EPOCH, EPOCHS = 7, 30
UPDATES = PER_EPOCH * EPOCHS
UPDATE_OF_AN_EPOCH = 1 / PER_EPOCH
TORCH = torch.optim.lr_scheduler
AGAINST_TORCH = {
    "constant": ("constant", {}, lambda o: TORCH.ConstantLR(o, factor=1.0)),
    "cosine": ("cosine", {"final": 0.05}, lambda o: TORCH.CosineAnnealingLR(o, UPDATES, eta_min=0.05)),
    "exponential": ("exponential", {"gamma": 0.9}, lambda o: TORCH.ExponentialLR(o, 0.9**UPDATE_OF_AN_EPOCH)),
    "step": ("step", {"gamma": 0.3, "every": 8}, lambda o: TORCH.StepLR(o, 8 * PER_EPOCH, gamma=0.3)),
    "milestones": (
        "step",
        {"gamma": 0.3, "milestones": "10/20/25"},
        lambda o: TORCH.MultiStepLR(o, [10 * PER_EPOCH, 20 * PER_EPOCH, 25 * PER_EPOCH], gamma=0.3),
    ),
}


def factors_of_torch(make, updates):
    """The learning rate of each update, from a base of 1."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    scheduler, rates = make(optimizer), []
    for _ in range(updates):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return rates


@pytest.mark.parametrize("name", AGAINST_TORCH)
def test_schedules_are_those_of_torch(name):
    """Update by update, where torch's steps once an update."""
    shape, options, make = AGAINST_TORCH[name]
    factor = make_schedule(shape, epochs=EPOCHS, options=options)
    ours = [factor(update / UPDATES) for update in range(UPDATES)]
    assert ours == pytest.approx(factors_of_torch(make, UPDATES), abs=1e-9)


def test_one_cycle_is_that_of_torch():
    """Torch's peak lies at update pct_start * total - 1 and its end at total - 1; ours at 30 % of N, and at N."""
    factor = make_schedule("one-cycle", epochs=EPOCHS, warmup=0.3 * EPOCHS)
    share = (0.3 * UPDATES + 1) / (UPDATES + 1)
    theirs = factors_of_torch(
        lambda o: TORCH.OneCycleLR(o, 1.0, total_steps=UPDATES + 1, pct_start=share, cycle_momentum=False), UPDATES
    )
    assert [factor(update / UPDATES) for update in range(UPDATES)] == pytest.approx(theirs, abs=1e-9)


def test_the_warm_up_is_that_of_torch():
    """LinearLR over 5 epochs, from our first factor to 1; the constant schedule follows."""
    factor = make_schedule("constant", epochs=EPOCHS, warmup=5)
    first = factor(0.0)
    theirs = factors_of_torch(lambda o: TORCH.LinearLR(o, first, total_iters=5 * PER_EPOCH), UPDATES)
    assert [factor(update / UPDATES) for update in range(UPDATES)] == pytest.approx(theirs, abs=1e-9)


def test_a_drop_comes_with_its_epoch_at_any_length():
    """t * epochs of a whole epoch must not come out as 29.999...: checked for every number of updates up to 300."""
    for per_epoch in range(1, 300):
        factor = make_schedule("step", epochs=90, options={"every": 30.0})
        assert factor(30 * per_epoch / (90 * per_epoch)) == pytest.approx(0.1)
        assert factor((30 * per_epoch - 1) / (90 * per_epoch)) == 1.0


def test_epochs_of_drops_count_the_warm_up():
    """Goyal et al.: 90 epochs, 5 of them warm-up, drops at 30, 60 and 80."""
    factor = make_schedule("step", epochs=90, warmup=5, options={"milestones": "30/60/80"})
    at = {4.99: None, 5: 1.0, 29.9: 1.0, 30: 0.1, 59.9: 0.1, 60: 0.01, 80: 0.001}
    for epoch, expected in at.items():
        assert expected is None or factor(epoch / 90) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("name", "option", "value"),
    [("cosine", "final", -0.1), ("exponential", "gamma", 1.5), ("exponential", "final", 0.0), ("step", "gamma", 0.0),
     ("step", "every", 0.0), ("step", "milestones", "30,60"), ("one-cycle", "div", 0.5), ("one-cycle", "final_div", 0)],
)  # fmt: skip
def test_options_of_schedules_out_of_range(name, option, value):
    with pytest.raises(UserError, match=f"schedule {name}: {option} is '?{value}"):
        make_schedule(name, options={option: value})


@pytest.mark.parametrize(
    ("name", "options", "shown"),
    [("sgd", {"momentum": 1.0}, "momentum is 1.0"), ("adamw", {"beta2": -1.0}, "beta2 is -1.0"),
     ("adam", {"eps": 0.0}, "eps is 0.0"), ("timm", {"name": "lion", "beta1": 0.9}, "give both or none"),
     ("timm", {"name": "lion", "momentum": 0.9}, "momentum is 0.9, and lion has none")],
)  # fmt: skip
def test_options_of_optimizers_out_of_range(name, options, shown):
    with pytest.raises(UserError, match=shown):
        make_optimizer(network(), name, lr=0.1, weight_decay=0.0, options=options)


def test_options_reach_the_optimizer():
    made = make_optimizer(network(), "sgd", lr=0.1, weight_decay=0.0, options={"momentum": 0.0})
    assert made.defaults["momentum"] == 0 and not made.defaults["nesterov"]
    made = make_optimizer(network(), "adamw", lr=0.1, weight_decay=0.0, options={"beta1": 0.8, "beta2": 0.95})
    assert made.defaults["betas"] == (0.8, 0.95)
    options = {"name": "lamb", "beta1": 0.8, "beta2": 0.95, "eps": 1e-4}
    made = make_optimizer(network(), "timm", lr=0.1, weight_decay=0.02, options=options)
    assert type(made).__name__ == "Lamb" and made.defaults["betas"] == (0.8, 0.95) and made.defaults["eps"] == 1e-4
    assert [group["weight_decay"] for group in made.param_groups] == [0.02, 0.0]


def test_the_index_of_timms_optimizers_is_fresh():
    """All that timm lists, but for those that need a CUDA library, a second derivative, or can't be saved."""
    from timm.optim import list_optimizers

    left_out = ("bnb", "fused", "adahessian", "kron")
    assert [name for name in list_optimizers() if not name.startswith(left_out)] == NAMES


def steps(net, optimizer, start, stop):
    images, target = torch.linspace(-1, 1, 8 * 9).view(8, 1, 3, 3), torch.arange(8) % 2
    for number in range(start, stop):
        torch.manual_seed(number)
        for group in optimizer.param_groups:
            group["lr"] = 1e-3 * (1 - number / 10)
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(images), target).backward()
        optimizer.step()


@pytest.mark.parametrize("name", NAMES)
def test_going_on_with_any_of_timms_optimizers(name):
    """What it remembers, tensors, numbers, and a step in its groups, comes back from a checkpoint to the bit."""

    def make():
        torch.manual_seed(0)
        net = network()
        return net, make_optimizer(net, "timm", lr=1e-3, weight_decay=0.01, options={"name": name})

    whole, cut, other = make(), make(), make()
    steps(*whole, 0, 6)
    steps(*cut, 0, 4)
    taken = checkpoint.take(4, *cut, {}, {}, more={})
    found = checkpoint.Checkpoint(4, safetensors.torch.load(taken.data), {})
    steps(*other, 0, 1)  # what it remembers already must go
    checkpoint.restore(found, *other)
    steps(*other, 4, 6)
    for ours, theirs in zip(whole[0].parameters(), other[0].parameters(), strict=True):
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize("model", ["cnn3", "resnet18", "vit_b_16", "timm:convnext_atto", "mobilenet_v3_small"])
def test_layer_decay_falls_from_head_to_stem(model):
    """0.5 a stage: the head learns at the full rate, the first stage at 0.5**(stages - 1); nothing is left out."""
    with torch.device("meta"):
        net = models.build(model, num_classes=5)
    parts = stages(net, 5)
    optimizer = make_optimizer(net, "sgd", lr=0.2, weight_decay=0.1, scales=layer_scales(net, 5, 0.5))
    names = {id(parameter): name for name, parameter in net.named_parameters()}
    rates = {names[id(p)]: group["lr"] for group in optimizer.param_groups for p in group["params"]}
    assert rates.keys() == dict(net.named_parameters()).keys()
    for place, stage in enumerate(reversed(parts)):
        assert {rates[name] for name in parts[stage]} == {0.2 * 0.5**place}, "powers of two are exact"
    assert optimizer.param_groups[0]["lr"] == 0.2, "the rate that is shown is that of the head"
    assert {g["weight_decay"] for g in optimizer.param_groups} == {0.0, 0.1}


def test_layer_decay_of_1_changes_nothing():
    net = models.build("cnn3", num_classes=5)
    plain = make_optimizer(net, "sgd", lr=0.2, weight_decay=0.1)
    scaled = make_optimizer(net, "sgd", lr=0.2, weight_decay=0.1, scales=layer_scales(net, 5, 1.0))
    assert [group["lr"] for group in scaled.param_groups] == [0.2, 0.2]
    for ours, theirs in zip(plain.param_groups, scaled.param_groups, strict=True):
        assert [*map(id, ours["params"])] == [*map(id, theirs["params"])]


@pytest.mark.parametrize("limit", [0.5, 1e6])
def test_clipping(limit):
    """The step is that of the gradient scaled to the limit, if it was larger; over all groups together."""
    net = network()
    optimizer = make_optimizer(net, "sgd", lr=1.0, weight_decay=0.0, options={"momentum": 0.0})
    clip_gradients(optimizer, limit)
    trained = [p for p in net.parameters() if p.requires_grad]
    before = [p.detach().clone() for p in trained]
    for number, parameter in enumerate(trained, 1):
        parameter.grad = torch.full_like(parameter, float(number))
    norm = sum(number**2 * p.numel() for number, p in enumerate(trained, 1)) ** 0.5
    optimizer.step()
    for number, (parameter, old) in enumerate(zip(trained, before, strict=True), 1):
        expected = number * min(1, limit / norm)
        torch.testing.assert_close(old - parameter, torch.full_like(parameter, expected), rtol=1e-4, atol=1e-6)


def test_what_is_clipped_is_the_gradient_of_the_whole_batch():
    """Computed in four chunks, a batch moves the weights as in one go; clipping each chunk would not."""

    class Linear(nn.Linear):
        def forward(self, images):
            return super().forward(images.flatten(1).float() / 255)

    ends = []
    images = torch.randint(0, 256, (16, 1, 4, 4), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    pictures = MemoryPictures(images, torch.arange(16) % 3)
    for chunks in (1, 4):
        torch.manual_seed(0)
        objective = Supervised(Linear(16, 3), losses.get("cross-entropy")())
        optimizer = make_optimizer(objective, "sgd", lr=0.5, weight_decay=0.0)
        clip_gradients(optimizer, 0.05)
        loader = Loader(pictures, batch_size=8, seed=0, parts=Parts(accumulate=chunks))
        list(fit(objective, loader, optimizer, epochs=3, schedule=lambda t: 1.0))
        ends.append(objective.student.weight.detach())
    torch.testing.assert_close(*ends)


@pytest.mark.parametrize("name", schedules.names())
@pytest.mark.parametrize("warmup", [0, 2, 9.5])
def test_contract_schedules_stay_between_0_and_1(name, warmup):
    """At every update of 10 epochs, and the peak is 1."""
    factor = make_schedule(name, epochs=10, warmup=warmup)
    values = [factor(update / 1000) for update in range(1000)]
    assert all(0 <= value <= 1 for value in values)
    assert max(values) == pytest.approx(1.0) and max(values) == values[round(100 * warmup)]


@pytest.mark.parametrize("name", [name for name in optimizers.names() if name != "timm"])
def test_contract_optimizers_descend_and_decay(name):
    """With their defaults: down a bowl; and a weight without a gradient shrinks where it is decayed, and only there."""
    net = nn.Linear(4, 1)
    with torch.no_grad():
        net.weight.fill_(2.0), net.bias.fill_(2.0)
    optimizer = make_optimizer(net, name, lr=0.01, weight_decay=0.5)
    for parameter in net.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    assert (net.weight < 2.0).all() and (net.bias == 2.0).all()
    for _ in range(300):
        optimizer.zero_grad()
        sum(p.square().sum() for p in net.parameters()).backward()
        optimizer.step()
    assert max(p.abs().max() for p in net.parameters()) < 0.5
