"""What each augmentation does, and what all of them keep to."""

import inspect
import time

import pytest
import torch

from strop.augment import PRESETS, augmentations, compose, preset
from strop.errors import UserError

NAMES = augmentations.names()
OPTIONS = {name: entry.options for name, entry in augmentations.entries().items()}
NOISE = ("gaussian-noise", "speckle-noise", "salt-pepper", "poisson-noise", "noise")
TONES = ("brightness", "solarize", "posterize", "trivial-augment", "rand-augment")


def noise(b=6, c=3, h=16, w=16, seed=0):
    return torch.randint(0, 256, (b, c, h, w), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


def smooth(b=6, c=3, size=32):
    """Colour gradients, a different one in each picture and channel, with values from 20 to 235."""
    along = torch.linspace(0, 1, size)
    slopes = torch.rand(b, c, 2, generator=torch.Generator().manual_seed(7)).mul(2).sub(1)
    planes = slopes[:, :, 0, None, None] * along[:, None] + slopes[:, :, 1, None, None] * along
    low, high = planes.amin((2, 3), keepdim=True), planes.amax((2, 3), keepdim=True)
    return (20 + 215 * (planes - low) / (high - low)).byte()


def always(value, b):
    """A chance that gives one value to all."""
    return lambda n: torch.full((b, n), value)


def rows(*values):
    """A chance whose only call gives these numbers, one row a picture."""
    return lambda n: torch.tensor(values)[:, :n]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape", [(6, 3, 16, 16), (1, 1, 28, 28), (4, 3, 12, 20), (2, 1, 1, 1)])
def test_contract_shape_type_and_purity(name, shape):
    """Same shape and dtype out; what goes in stays as it was; the same chance gives the same pixels."""
    images = noise(*shape)
    before = images.clone()
    augment = compose([(name, {})])
    indices = torch.arange(shape[0])
    first = augment(images, indices, 0, 0)
    assert first.shape == images.shape and first.dtype == torch.uint8
    assert torch.equal(images, before)
    assert torch.equal(first, augment(images, indices, 0, 0))
    first.zero_()
    assert torch.equal(images, before), "the result shares memory with the input"


@pytest.mark.parametrize("name", NAMES)
def test_contract_a_picture_does_not_depend_on_its_batch(name):
    images, augment = noise(32), compose([(name, {})])
    numbers = torch.arange(100, 132)
    whole = augment(images, numbers, 3, 1)
    picked = torch.tensor([30, 2, 2, 17])
    assert torch.equal(augment(images[picked], numbers[picked], 3, 1), whole[picked])


@pytest.mark.parametrize("name", NAMES)
def test_contract_seeds_and_epochs_differ(name):
    images, augment = noise(64), compose([(name, {})])
    results = [augment(images, torch.arange(64), seed, epoch) for seed in (0, 1) for epoch in (0, 1)]
    assert all(not torch.equal(a, b) for i, a in enumerate(results) for b in results[:i])


@pytest.mark.parametrize("name", NAMES)
def test_contract_rows_do_not_depend_on_the_piece_that_is_worked_on(name):
    """90 pictures of 64 x 64 take two pieces (pixels.py), 1 takes one; the pixels are the same to the last bit."""
    images, augment = noise(90, 3, 64, 64), compose([(name, {"p": 1.0})])
    whole = augment(images, torch.arange(90), 5, 0)
    for place in (0, 41, 43, 89):
        alone = augment(images[place : place + 1], torch.tensor([place]), 5, 0)
        assert torch.equal(alone[0], whole[place])


@pytest.mark.parametrize("name", [name for name in NAMES if name not in NOISE])
def test_contract_a_flat_picture_stays_flat(name):
    """None of them paints with places from outside of the picture, and only those that change tones change the tone."""
    flat = torch.full((64, 3, 16, 16), 93, dtype=torch.uint8)
    made = compose([(name, {"p": 1.0})])(flat, torch.arange(64), 0, 0)
    assert (made.flatten(1).amax(1) == made.flatten(1).amin(1)).all()
    if name not in TONES:
        assert torch.equal(made, flat)


@pytest.mark.parametrize("name", NAMES)
def test_contract_p_and_strength(name):
    """Each part has p; each but the mirrors, which have no more or less, has a strength."""
    assert "p" in OPTIONS[name]
    assert "strength" in OPTIONS[name] or name in ("hflip", "vflip")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("channels", [1, 3])
def test_contract_p_0_and_strength_0_change_nothing(name, channels):
    images, numbers = noise(200, channels), torch.arange(200)
    assert torch.equal(compose([(name, {"p": 0.0})])(images, numbers, 0, 0), images)
    if "strength" in OPTIONS[name]:
        assert torch.equal(compose([(name, {"strength": 0.0, "p": 1.0})])(images, numbers, 0, 0), images)


@pytest.mark.parametrize("name", [name for name in NAMES if "strength" in OPTIONS[name]])
def test_contract_more_strength_changes_more(name):
    """The mean difference to the original grows from strength 0.1 to 1."""
    images, numbers = smooth(64) // 2 + noise(64, 3, 32, 32) // 2, torch.arange(64)
    low, high = (
        (compose([(name, {"strength": strength, "p": 1.0})])(images, numbers, 0, 0).float() - images).abs().mean()
        for strength in (0.1, 1.0)
    )
    assert low < high and high > 0.5


@pytest.mark.parametrize("name", NAMES)
def test_contract_p_is_a_probability(name):
    """Of 1,000 pictures p = 0.25 changes a quarter as many as p = 1 does, within five standard errors."""
    images, numbers = noise(1000, 3, 20, 20), torch.arange(1000)
    some, all_ = (
        int((compose([(name, {"p": p})])(images, numbers, 0, 0) != images).flatten(1).any(1).sum()) for p in (0.25, 1.0)
    )
    assert all_ > 300
    assert abs(some - all_ / 4) < 5 * (all_ * 0.25 * 0.75) ** 0.5


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("wrong", [-0.1, 1.5, float("nan")])
def test_contract_wrong_values_are_refused_before_any_picture(name, wrong):
    with pytest.raises(UserError, match=f"{name}: p: {wrong} is out of range. Write 0 "):
        compose([(name, {"p": wrong})])


@pytest.mark.parametrize("name", NAMES)
def test_contract_signature_and_docstring(name):
    part = augmentations.get(name)
    kinds = [parameter.kind for parameter in inspect.signature(part).parameters.values()]
    assert kinds[2:] == [inspect.Parameter.KEYWORD_ONLY] * (len(kinds) - 2)
    assert "Shape:" in part.__doc__


def test_hflip_twice_is_the_identity():
    hflip, images = augmentations.get("hflip"), noise()
    once = hflip(images, always(0.0, 6))
    assert torch.equal(once[..., 0], images[..., -1])
    assert torch.equal(hflip(once, always(0.0, 6)), images)


def test_crop_shifts_by_what_chance_says():
    """u = 0.5 is the middle of 2 * 2 + 1 shifts: none. u = 0 shifts by -2, u = 0.99 by +2."""
    images = noise(3)
    moved = augmentations.get("crop")(images, rows([0.5, 0.5], [0.0, 0.5], [0.99, 0.99]), pixels=2)
    assert torch.equal(moved[0], images[0])
    assert torch.equal(moved[1, :, 2:], images[1, :, :-2])
    assert torch.equal(moved[2, :, :-2, :-2], images[2, :, 2:, 2:])


def test_crop_equals_padding_and_cutting():
    images = noise(5, 3, 10, 14)
    chances = torch.rand(5, 2, generator=torch.Generator().manual_seed(1))
    moved = augmentations.get("crop")(images, lambda n: chances, pixels=4)
    padded = torch.nn.functional.pad(images.float(), (4, 4, 4, 4), mode="reflect").byte()
    for i, (top, left) in enumerate((chances * 9).long().tolist()):
        assert torch.equal(moved[i], padded[i, :, top : top + 10, left : left + 14])


def test_crop_takes_an_eighth_of_the_side_by_default():
    images = noise(1, 1, 28, 28)
    crop = augmentations.get("crop")
    assert torch.equal(crop(images, always(0.0, 1)), crop(images, always(0.0, 1), pixels=3))


def test_crop_refuses_shifts_beyond_the_picture():
    with pytest.raises(UserError, match="16 does not fit pictures of 16 x 16"):
        augmentations.get("crop")(noise(), always(0.0, 6), pixels=16)


def test_erase_fills_one_square_with_the_mean():
    """side 0.25 of 16 is 4 pixels; u = 0 puts the square into the upper left corner, u -> 1 into the lower right."""
    images = noise(3)
    erased = augmentations.get("erase")(images, rows([0.0, 0.0, 0.1], [0.999, 0.999, 0.1], [0.0, 0.0, 0.9]), side=0.25)
    expected = images.clone()
    mean = (images.double().mean(dim=(2, 3)) + 0.5).floor().byte()
    expected[0, :, :4, :4] = mean[0, :, None, None]
    expected[1, :, 12:, 12:] = mean[1, :, None, None]
    assert torch.equal(erased, expected)


def test_erase_of_the_whole_side_leaves_the_mean_only():
    erased = augmentations.get("erase")(noise(), always(0.5, 6), side=1.0, p=1.0)
    assert (erased.flatten(2).amax(2) == erased.flatten(2).amin(2)).all()


def test_erase_refuses_a_side_beyond_one():
    with pytest.raises(UserError, match="30 is out of range"):
        augmentations.get("erase")(noise(), always(0.5, 6), side=30)


def test_position_in_the_chain_gives_other_chances():
    """hflip after hflip is not always the identity, or the second would undo what the first did."""
    images, numbers = noise(64), torch.arange(64)
    twice = compose([("hflip", {}), ("hflip", {})])(images, numbers, 0, 0)
    unchanged = (twice == images).flatten(1).all(1).sum()
    assert 12 <= unchanged <= 52


@pytest.mark.parametrize("name", PRESETS)
def test_presets_can_be_composed_and_change_pictures(name):
    images = noise()
    made = compose(preset(name))(images, torch.arange(6), 0, 0)
    assert made is images if name == "none" else not torch.equal(made, images)


@pytest.mark.parametrize("name", PRESETS)
def test_presets_are_what_the_config_reads(name):
    """`augment: strong` in a recipe names the same parts, with their defaults filled in."""
    from pydantic import TypeAdapter

    from strop.augment import augmentations
    from strop.config import part_of

    read = TypeAdapter(list[part_of(augmentations)]).validate_python(PRESETS[name])
    assert [part.name for part in read] == [part for part, _ in preset(name)]
    assert all(set(options) <= set(part.options) for part, (_, options) in zip(read, preset(name), strict=True))


def test_an_unknown_preset_is_named():
    with pytest.raises(UserError, match="'stron' is not a preset. Did you mean 'strong'"):
        preset("stron")


def test_the_reference_preset_has_every_family_of_the_reference_list():
    """Flip, rotation, crop, sharpen, affine, contrast, regional blur, flip, masking and mosaic, and noise."""
    families = "hflip rotate crop sharpen affine contrast regional-blur regional-flip erase mosaic noise"
    assert [name for name, _ in preset("reference")] == families.split()


def test_several_wrong_values_are_reported_together():
    with pytest.raises(UserError) as caught:
        compose([("rotate", {"degrees": 700}), ("mosaic", {"cells": 0}), ("hue", {"strength": 2, "p": -1})])
    assert len(caught.value.problems) == 4


def test_unknown_names_and_options_are_reported_together():
    with pytest.raises(UserError) as caught:
        compose([("hflop", {}), ("crop", {"pixel": 3})])
    text = str(caught.value)
    assert "augment[0]: 'hflop' is unknown. Did you mean 'hflip'?" in text
    assert "augment[1].crop.pixel: unknown option. Did you mean 'pixels'?" in text


def test_an_empty_batch_passes():
    for name in NAMES:
        assert compose([(name, {})])(noise(0), torch.arange(0), 0, 0).shape == (0, 3, 16, 16)


def test_the_standard_preset_is_fast():
    """128 x 1 x 28 x 28 takes under 1 ms on one core; the best of many tries counts, the limit allows busy machines."""
    images, numbers = noise(128, 1, 28, 28), torch.arange(128)
    augment = compose(preset("standard"))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        best = float("inf")
        for epoch in range(50):
            started = time.perf_counter()
            augment(images, numbers, 0, epoch)
            best = min(best, time.perf_counter() - started)
    finally:
        torch.set_num_threads(threads)
    assert best < 0.01
