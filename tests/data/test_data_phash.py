"""The perceptual hash and the search among many: what it means, and that it misses nothing."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.fft import dctn

from strop.data.phash import MIRROR, NearSearch, spectrum_hash


def draw(seed: int, shape=(40, 30)) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)


def test_the_bits_are_the_signs_of_the_lowest_cosines():
    """Bit k of the hash is the sign of the k-th lowest frequency, (0, 0) left out."""
    luma = draw(0)
    cosines = dctn(luma.astype(float))
    value = int(spectrum_hash(luma))
    assert [(value >> k) & 1 for k in (0, 1, 2)] == [int(cosines[v, u] > 0) for v, u in ((0, 1), (1, 0), (1, 1))]


def test_a_mirrored_picture_has_the_hash_with_the_odd_bits_turned():
    """cos(pi u (2x + 1) / 2W) of the mirrored x is (-1)^u times itself, so the mirror is one XOR."""
    for seed in range(20):
        luma = draw(seed)
        assert spectrum_hash(luma[:, ::-1]) == spectrum_hash(luma) ^ MIRROR


def test_brightness_and_contrast_do_not_count():
    """The mean is left out and a sign has no size: a darker, flatter copy has the same hash."""
    luma = draw(3)
    assert spectrum_hash((luma // 4 * 2 + 20).astype(np.uint8)) == spectrum_hash((luma // 4).astype(np.uint8))


def test_pictures_of_any_shape_have_a_hash():
    """One pixel, one row, a flat picture and one beyond OpenCV's 16-bit sides: none may fail."""
    for shape in ((1, 1), (1, 500), (40_000, 2), (8, 8), (200, 300)):
        assert 0 <= int(spectrum_hash(np.full(shape, 7, np.uint8))) < 2**64


def brute(hashes: np.ndarray, radius: int) -> set:
    found = set()
    for i in range(len(hashes)):
        for j in range(i + 1, len(hashes)):
            for mirrored in (False, True):
                different = int(hashes[i]) ^ int(hashes[j]) ^ (int(MIRROR) if mirrored else 0)
                if different.bit_count() <= radius:
                    found.add((i, j, mirrored))
    return found


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32), st.integers(4, 5))
def test_the_search_gives_exactly_the_pairs_within_its_radius_each_once(seed, bands):
    """Compared with all pairs: random hashes with copies of up to 12 flipped bits among them, some mirrored."""
    rng = np.random.default_rng(seed)
    base = rng.integers(0, 2**64, 12, dtype=np.uint64)
    hashes = list(base)
    for value in base:
        flips = rng.choice(64, rng.integers(0, 12), replace=False).astype(np.uint64)
        change = np.bitwise_or.reduce(np.uint64(1) << flips, initial=np.uint64(0))
        hashes.append(value ^ change ^ (MIRROR if rng.random() < 0.5 else np.uint64(0)))
    hashes = np.array(hashes, dtype=np.uint64)
    search = NearSearch(hashes, bands=bands)
    rows = [(int(a), int(b), mirrored) for i, j, mirrored in search.pairs() for a, b in zip(i, j, strict=True)]
    assert len(rows) == len(set(rows))
    assert set(rows) == brute(hashes, 2 * bands - 1)


def test_a_search_among_equal_hashes_ends():
    """20,000 equal hashes would be 200 million pairs; the search stops at its limit and says so."""
    search = NearSearch(np.zeros(20_000, np.uint64), most=3_000_000)
    told = sum(len(i) for i, _, _ in search.pairs())
    assert search.stopped and told <= 6_000_000
