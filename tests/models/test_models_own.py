"""What our own networks compute: shuffles, bypasses, shortcuts and their options."""

import pytest
import torch
from torch import nn

from strop.errors import UserError
from strop.models import build
from strop.models.freezing import freeze
from strop.models.resnet_cifar import Block, PaddedShortcut
from strop.models.shufflenet_v2 import Excitation, Unit
from strop.models.shuffling import shuffle
from strop.models.squeezenet import Fire


def zeroed(module):
    """All weights and biases of convolutions at zero."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.zeros_(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    return module.eval()


def test_shuffle_transposes_groups_and_channels():
    """Figure 1 of ShuffleNet: of 2 groups of 3, the first of each comes first; shuffling by 3 undoes it."""
    x = torch.arange(6.0).view(1, 6, 1, 1).expand(2, 6, 2, 3)
    shuffled = shuffle(x, 2)
    assert shuffled[0, :, 0, 0].tolist() == [0, 3, 1, 4, 2, 5]
    assert torch.equal(shuffle(shuffled, 3), x)


def test_a_unit_of_shufflenet_v2_leaves_half_of_the_channels_alone():
    """At stride 1 the even outputs are the first half of the inputs, whatever the branch has learned."""
    unit, x = Unit(8, 8, stride=1), torch.randn(2, 8, 5, 5)
    assert torch.equal(unit.eval()(x)[:, ::2], x[:, :4])
    assert unit(x).shape == x.shape and Unit(8, 12, stride=2)(x).shape == (2, 12, 3, 3)


def test_excitation_weighs_whole_channels():
    """With zero weights the gate is sigmoid(0) = 1/2; with a bias of 100 it is open."""
    module, x = zeroed(Excitation(8)), torch.randn(2, 8, 3, 3)
    assert torch.equal(module(x), x / 2)
    nn.init.constant_(module.excite.bias, 100.0)
    assert torch.allclose(module(x), x)


@pytest.mark.parametrize(
    ("bypass", "inputs", "expected"),
    [("none", 8, "zero"), ("simple", 8, "x"), ("simple", 6, "zero"), ("complex", 8, "x")],
)
def test_a_bypass_adds_the_input_where_the_width_is_equal(bypass, inputs, expected):
    """A fire whose convolutions are all zero shows what goes around it."""
    x = torch.randn(2, inputs, 4, 4)
    y = zeroed(Fire(inputs, 2, 4, 4, bypass))(x)
    assert torch.equal(y, x if expected == "x" else torch.zeros(2, 8, 4, 4))


def test_a_complex_bypass_projects_where_the_width_changes():
    """Without fire and with weights of one, each output channel is the sum over the input's channels."""
    fire, x = zeroed(Fire(6, 2, 4, 4, "complex")), torch.randn(2, 6, 4, 4)
    nn.init.ones_(fire.bypass.weight)
    assert torch.allclose(fire(x), x.sum(1, keepdim=True).expand(-1, 8, -1, -1), atol=1e-5)


def test_the_bypasses_are_where_the_paper_has_them():
    """Simple: around fires 3, 5, 7 and 9 (the second of each pair); complex: 1x1 convolutions at the other four."""
    for bypass, kinds in (("simple", [None, nn.Identity] * 4), ("complex", [nn.Conv2d, nn.Identity] * 4)):
        with torch.device("meta"):
            net = build("squeezenet", num_classes=10, stem="1.0", bypass=bypass)
        fires = [module for module in net.features if isinstance(module, Fire)]
        assert [type(fire.bypass) if fire.bypass is not None else None for fire in fires] == kinds


def test_without_the_last_relu_logits_may_be_negative():
    """As published they can't be, and a class whose map is negative learns nothing."""
    torch.manual_seed(0)
    published, free = (build("squeezenet", num_classes=5, final_relu=on).eval() for on in (True, False))
    free.load_state_dict(published.state_dict(), strict=True)
    pictures = torch.randn(4, 3, 64, 64)
    assert published(pictures).min() >= 0 > free(pictures).min()


def test_the_padded_shortcut_is_every_second_pixel_and_zeros():
    """Option A: no parameters, the new channels in equal parts before and after."""
    x = torch.randn(2, 4, 6, 6)
    y = PaddedShortcut(4, 8)(x)
    assert torch.equal(y[:, 2:6], x[:, :, ::2, ::2]) and not y[:, [0, 1, 6, 7]].any()


@pytest.mark.parametrize(("shortcut", "passes"), [("A", True), ("none", False)])
def test_a_block_without_weights_passes_its_input_on(shortcut, passes):
    """That is what a shortcut is for; the plain twin gives zeros."""
    x = torch.rand(2, 4, 6, 6)
    y = zeroed(Block(4, 4, stride=1, shortcut=shortcut))(x)
    assert torch.equal(y, x if passes else torch.zeros_like(x))


@pytest.mark.parametrize("depth", [20, 32])
def test_the_plain_twin_has_the_layers_of_the_resnet(depth):
    """Same tensors by name and shape: weights can be carried over and only the additions differ."""
    with torch.device("meta"):
        plain, residual = build(f"plain{depth}", num_classes=10), build(f"resnet{depth}", num_classes=10)
    assert {n: t.shape for n, t in plain.state_dict().items()} == {n: t.shape for n, t in residual.state_dict().items()}
    convolutions = sum(isinstance(module, nn.Conv2d) for module in plain.modules())
    assert convolutions + 1 == depth


@pytest.mark.parametrize(
    "text",
    ["squeezenet", "squeezenet:stem=1.0,bypass=complex", "shufflenet_v1:groups=8", "shufflenet_v2:width=0.5,se=true"],
)
@pytest.mark.parametrize("size", [32, 97])
def test_global_pooling_takes_any_size(text, size):
    """Also the smallest, and an odd one."""
    from strop.models.choice import read_model

    part = read_model(text)
    net = build(part.name, num_classes=7, input_size=size, in_chans=1, **part.options).eval()
    assert net(torch.zeros(2, 1, size, size)).shape == (2, 7)


@pytest.mark.parametrize(("classes", "trainable"), [(5, 131_845), (37, 271_909), (1000, 2_074_600)])
def test_all_but_the_hidden_head_freezes(classes, trainable):
    """The published counts of what is trained, both layers of the head."""
    with torch.device("meta"):
        net = build("shufflenet_v2", num_classes=classes, head="hidden")
    assert freeze(net, classes, ("all-but-head",)).trainable == trainable


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("squeezenet", {"sr": 0.0}, "sr: 0.0 is out of range. It is a ratio above 0 and at most 1."),
        ("squeezenet", {"pct3x3": 1.0}, "pct3x3: 1.0 is out of range"),
        ("squeezenet", {"freq": 0, "incr_e": -1, "base_e": 1}, "Write 2 or more"),
        ("squeezenet", {"bypass": "simpel"}, "bypass: 'simpel' is not an option. Did you mean 'simple'?"),
        ("squeezenet", {"stem": "2.0"}, "stem: '2.0' is not an option."),
        ("squeezenet", {"dropout": 2.0}, "dropout"),
        ("shufflenet_v1", {"groups": 5}, "groups: 5 is not an option. Known: 1, 2, 3, 4, 8"),
        ("shufflenet_v1", {"width": 0.3}, "do not divide into 3 groups"),
        ("shufflenet_v1", {"width": -1.0}, "Write another factor"),
        ("shufflenet_v2", {"width": 0.75}, "width: 0.75 does not exist."),
        ("shufflenet_v2", {"head": "hiden"}, "head: 'hiden' is not an option. Did you mean 'hidden'?"),
        ("resnet20", {"shortcut": "C"}, "shortcut: 'C' is not an option."),
    ],
)
def test_options_out_of_range_are_refused(name, options, said):
    """With the value shown and what to write instead."""
    with pytest.raises(UserError) as caught:
        build(name, num_classes=10, **options)
    assert said in str(caught.value)
