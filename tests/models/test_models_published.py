"""Parameters and MACs of the published experiments, to the unit, on networks without storage.

Numbers without another source are those of the write-ups (torchsummary, thop) as the reference page of the experiments
gives them, verified there with torchvision 0.29 and timm 1.0.
"""

import pytest
import torch

from strop.measure.complexity import count_macs
from strop.models import build

SQUEEZENET_1_0 = {"stem": "1.0"}


def blank(name, classes, **options):
    with torch.device("meta"):
        return build(name, num_classes=classes, **options)


def count(model):
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize(
    ("name", "classes", "parameters"),
    [
        ("mobilenet_v3_large", 10, 4_214_842),
        ("timm:mobilenetv3_large_100", 10, 4_214_842),
        ("mobilenet_v3_small", 10, 1_528_106),
        ("mobilenet_v2", 10, 2_236_682),
        ("resnet18", 10, 11_181_642),
        ("timm:resnet18", 10, 11_181_642),
        ("resnet18_small", 10, 11_173_962),
        ("resnet50", 10, 23_528_522),
        ("timm:resnet50", 10, 23_528_522),
        ("resnet50", 1000, 25_557_032),
        ("resnet50", 240, 23_999_792),
        ("cnn2", 100, 219_044),
        ("cnn3", 100, 168_036),
        ("cnn5", 100, 1_116_388),
        ("vgg19", 100, 139_979_940),
        ("timm:vgg19", 100, 139_979_940),
        ("vgg19_bn", 100, 139_990_948),
        ("resnet101", 100, 42_705_060),
        ("timm:resnet101", 100, 42_705_060),
        ("vit_b_32", 100, 87_532_132),
        ("timm:vit_base_patch32_224", 100, 87_532_132),
        ("swin_b", 100, 86_845_724),
        ("timm:swin_base_patch4_window7_224", 100, 86_845_724),
        ("swin_v2_b", 100, 87_008_348),
        ("squeezenet", 10, 727_626),
        ("squeezenet1_0", 10, 740_554),
        ("shufflenet_v2", 10, 1_263_854),
    ],
)
def test_the_models_of_the_experiments_have_the_published_sizes(name, classes, parameters):
    """Tables 1.1; the networks that were confused with them differ as they should."""
    assert count(blank(name, classes)) == parameters


@pytest.mark.parametrize(
    ("classes", "squeezenet", "its_head", "scratch", "hidden", "frozen"),
    [
        (5, 725_061, 2_565, 1_258_729, 1_385_449, 131_845),
        (10, 727_626, 5_130, 1_263_854, 1_386_094, 132_490),
        (30, 737_886, 15_390, 1_284_354, 1_523_714, 270_110),
        (37, 741_477, 18_981, 1_291_529, 1_525_513, 271_909),
        (100, 773_796, 51_300, 1_356_104, 1_829_704, 576_100),
        (1000, 1_235_496, 513_000, 2_278_604, 3_328_204, 2_074_600),
    ],
)
def test_feature_extraction_heads(classes, squeezenet, its_head, scratch, hidden, frozen):
    """Table 1.6: total, and what is trained on the frozen features."""
    whole, plain, with_head = (
        blank("squeezenet", classes),
        blank("shufflenet_v2", classes),
        blank("shufflenet_v2", classes, head="hidden"),
    )
    assert (count(whole), count(whole.classifier)) == (squeezenet, its_head)
    assert count(plain) == scratch
    assert (count(with_head), count(with_head.fc)) == (hidden, frozen)


def test_the_hidden_head_is_clamped():
    """Above 1,024 classes the published rule takes the logarithm of 0; 1,024 wide is where it was before."""
    assert [blank("shufflenet_v2", k, head="hidden").fc[0].out_features for k in (900, 1024, 1025, 21_841)] == [
        1024
    ] * 4


@pytest.mark.parametrize(
    ("options", "megabytes"),
    [
        *(({"sr": sr}, mb) for sr, mb in [(0.125, 4.99), (0.15, 5.57), (0.25, 7.87), (0.5, 13.62), (0.75, 19.37)]),
        ({"sr": 1.0}, 25.12),
        *(({"pct3x3": p}, mb) for p, mb in [(0.01, 3.07), (0.25, 4.01), (0.5, 4.99), (0.75, 5.98), (0.99, 6.92)]),
        ({"bypass": "simple"}, 4.99),
        ({"bypass": "complex"}, 6.36),
    ],
)
def test_the_squeezenet_family_has_the_published_sizes(options, megabytes):
    """Figure 3 of the paper: 4.8 MB (4.76 MiB) at the squeeze ratio 0.125, 19 MB at 0.75."""
    assert round(4 * count(blank("squeezenet", 1000, **SQUEEZENET_1_0, **options)) / 1e6, 2) == megabytes


def test_squeezenet_and_its_bypasses_to_the_unit():
    """Identities cost nothing; the four 1x1 convolutions have (C_in + 1) * C_out parameters each."""
    sizes = [count(blank("squeezenet", 1000, **SQUEEZENET_1_0, bypass=b)) for b in ("none", "simple", "complex")]
    four = [(96, 128), (128, 256), (256, 384), (384, 512)]
    assert sizes == [1_248_424, 1_248_424, 1_589_672]
    assert sizes[2] - sizes[0] == sum((inputs + 1) * outputs for inputs, outputs in four)
    assert count(blank("squeezenet", 1000)) == 1_235_496


@pytest.mark.parametrize(
    ("options", "parameters"),
    [
        ({"groups": 1}, 1_531_936),
        ({"groups": 2}, 1_733_848),
        ({"groups": 3}, 1_865_728),
        ({"groups": 4}, 1_968_344),
        ({"groups": 8}, 2_434_768),
        ({"groups": 1, "width": 0.25}, 209_746),
        ({"groups": 3, "width": 0.25}, 305_902),
        ({"groups": 1, "width": 0.5}, 534_484),
        ({"groups": 3, "width": 0.5}, 718_324),
        ({"groups": 1, "width": 0.75}, 975_214),
        ({"groups": 3, "width": 0.75}, 1_238_266),
    ],
)
def test_shufflenet_v1_sizes(options, parameters):
    """At 1,000 classes, as in the model table of https://github.com/osmr/imgclsmob (gluon and pytorch agree)."""
    assert count(blank("shufflenet_v1", 1000, **options)) == parameters


@pytest.mark.parametrize(("groups", "millions"), [(1, 143), (2, 140), (3, 137), (4, 133), (8, 137)])
def test_shufflenet_v1_complexity(groups, millions):
    """Table 1 of the paper, MFLOPs meaning multiply-adds; the classifier's 0.6 to 1.5 M explain what is above."""
    macs = count_macs(blank("shufflenet_v1", 1000, groups=groups), (3, 224, 224))
    assert macs / 1e6 == pytest.approx(millions, abs=1.5)


@pytest.mark.parametrize(
    ("width", "parameters"), [(0.5, 1_366_792), (1.0, 2_278_604), (1.5, 3_503_624), (2.0, 7_393_996)]
)
def test_shufflenet_v2_sizes(width, parameters):
    """`num_params` of torchvision's published weights, at 1,000 classes; SE adds 2 C^2 / 4 + C / 4 + C a unit."""
    assert count(blank("shufflenet_v2", 1000, width=width)) == parameters
    stages = {0.5: (24, 48, 96), 1.0: (58, 116, 232), 1.5: (88, 176, 352), 2.0: (122, 244, 488)}[width]
    added = sum(units * (2 * c * (c // 4) + c // 4 + c) for c, units in zip(stages, (4, 8, 4), strict=True))
    assert count(blank("shufflenet_v2", 1000, width=width, se=True)) == parameters + added


@pytest.mark.parametrize(
    ("depth", "parameters", "paper"),
    [(20, 269_722, 0.27), (32, 464_154, 0.46), (44, 658_586, 0.66), (56, 853_018, 0.85), (110, 1_727_962, 1.7)],
)
def test_resnets_for_cifar(depth, parameters, paper):
    """He et al., table 6; 16 k^2 + ... by hand: option B adds two 1x1 convolutions and their norms, a twin nothing."""
    assert count(blank(f"resnet{depth}", 10)) == count(blank(f"plain{depth}", 10)) == parameters
    assert round(parameters / 1e6, 1 if depth == 110 else 2) == paper
    added = 16 * 32 + 2 * 32 + 32 * 64 + 2 * 64
    assert count(blank(f"resnet{depth}", 10, shortcut="B")) == parameters + added


@pytest.mark.parametrize(
    ("name", "classes", "size", "giga"),
    [
        ("resnet18", 10, 64, 0.148051),
        ("resnet18", 10, 224, 1.813566),
        ("resnet50", 10, 224, 4.087157),
        ("mobilenet_v3_large", 10, 64, 0.020102),
        ("mobilenet_v3_large", 10, 224, 0.215322),
        ("cnn2", 100, 32, 0.00471),
        ("cnn3", 100, 32, 0.00788),
        ("cnn5", 100, 32, 0.01436),
        ("vgg19", 100, 224, 19.628),
        ("resnet101", 100, 224, 7.800),
        ("vit_b_32", 100, 224, 4.408),
        ("swin_b", 100, 224, 15.430),
        ("squeezenet", 10, 224, 0.2635),
        ("shufflenet_v2", 10, 224, 0.1439),
    ],
)
def test_macs_of_the_experiments(name, classes, size, giga):
    """Tables 1.2, attention included, to the digits that are given there."""
    macs = count_macs(blank(name, classes, input_size=size), (3, size, size))
    digits = len(str(giga).partition(".")[2])
    assert abs(macs / 1e9 - giga) < 10**-digits  # the page cuts some figures where it should round


@pytest.mark.parametrize(
    ("name", "stem", "widths", "parameters"),
    [
        ("whole", 36, (81, 96, 101), 961_394),
        ("whole", 38, (75, 96, 105), 961_452),
        ("inner", 64, (20, 33, 33, 20), 960_562),
        ("inner", 64, (20, 29, 43, 16), 960_570),
    ],
)
def test_pruned_resnet18_is_rebuilt_with_the_published_size(name, stem, widths, parameters):
    """Table 1.3: every width that gives "0.961 M", from nothing but the shapes of tensors."""
    from strop import artifact

    full = blank("resnet18", 10)
    outs = (stem, *widths) if name == "whole" else (64, 128, 256, 512)
    inner = outs if name == "whole" else widths
    shapes = {key: list(tensor.shape) for key, tensor in full.state_dict().items()}

    def resize(key, out, inputs=None):
        for leaf in ("weight", "bias", "running_mean", "running_var"):
            if f"{key}.{leaf}" in shapes:
                shapes[f"{key}.{leaf}"][0] = out
        if inputs is not None:
            shapes[f"{key}.weight"][1] = inputs

    resize("conv1", outs[0])
    resize("bn1", outs[0])
    before = outs[0]
    for stage, (out, middle) in enumerate(zip(outs, inner, strict=True), 1):
        for block in range(2):
            place = f"layer{stage}.{block}"
            resize(f"{place}.conv1", middle, before)
            resize(f"{place}.bn1", middle)
            resize(f"{place}.conv2", out, middle)
            resize(f"{place}.bn2", out)
            if f"{place}.downsample.0.weight" in shapes:
                resize(f"{place}.downsample.0", out, before)
                resize(f"{place}.downsample.1", out)
            before = out
    shapes["fc.weight"][1] = before
    tensors = {key: torch.zeros(shape, dtype=full.state_dict()[key].dtype) for key, shape in shapes.items()}
    small = artifact.rebuild({"name": "resnet18", "options": {"num_classes": 10}}, {}, tensors)
    assert count(small) == parameters
