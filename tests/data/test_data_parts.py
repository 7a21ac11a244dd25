"""How a batch is cut: nothing lost, nothing twice, and the same in every process."""

import pytest
import torch

from strop.data.load import Loader, MemoryPictures
from strop.data.parts import Parts
from strop.errors import UserError

SIZES = [1, 2, 3, 5, 7, 8, 22, 64, 101]


@pytest.mark.parametrize("accumulate", [1, 2, 5])
@pytest.mark.parametrize("ranks", [1, 2, 3, 8])
def test_chunks_tile_the_batch_with_two_pictures_or_more(ranks, accumulate):
    """Read in order, the rows are 0..n-1; no chunk has a single picture unless the batch has; sizes differ little."""
    for n in SIZES:
        shares = Parts(ranks, accumulate).cut(n).shares
        chunks = [chunk for share in shares for chunk in share]
        assert [row for chunk in chunks for row in range(chunk.start, chunk.stop)] == list(range(n))
        assert all(chunk.stop - chunk.start >= min(2, n) for chunk in chunks)
        assert len(shares) == ranks and len(chunks) <= ranks * accumulate
        sizes = [sum(chunk.stop - chunk.start for chunk in share) for share in shares if share]
        assert max(sizes) - min(sizes) <= 1
        if n >= 2 * ranks * accumulate:
            assert len(chunks) == ranks * accumulate


@pytest.mark.parametrize("processes", [1, 2, 4])
def test_processes_together_compute_what_one_does(processes):
    """Four ranks on 1, 2 or 4 processes: the same chunks by number and picture."""
    for n in SIZES:
        expected = [(c.number, c.start, c.stop) for share in Parts(4, 3).cut(n).shares for c in share]
        found = []
        for process in range(processes):
            parts = Parts(4, 3, first=process * 4 // processes, held=4 // processes)
            origin, end = parts.rows(n)
            chunks = [chunk for share in parts.cut(n).shares for chunk in share]
            assert end - origin == sum(chunk.stop - chunk.start for chunk in chunks)
            found += [(c.number, origin + c.start, origin + c.stop) for c in chunks]
        assert found == expected


def test_a_batch_that_is_not_cut_has_no_chunk_number():
    """Its random numbers are those of the step alone, as before batches could be cut."""
    [[chunk]] = Parts().cut(5).shares
    assert chunk == (None, 0, 5)


def test_a_share_of_an_epoch():
    """Two loaders with half of each batch have together the pictures of one loader, in its order."""

    def loader(**how):
        pictures = MemoryPictures(torch.arange(22, dtype=torch.uint8).view(22, 1, 1, 1), torch.arange(22) % 3)
        return Loader(pictures, batch_size=8, seed=0, parts=Parts(2, **how))

    halves = zip(loader(first=0, held=1).epoch(1), loader(first=1, held=1).epoch(1), strict=True)
    for whole, (left, right) in zip(loader().epoch(1), halves, strict=True):
        for name in ("images", "targets", "indices"):
            assert torch.equal(getattr(whole, name), torch.cat([getattr(left, name), getattr(right, name)]))


def test_too_few_pictures_for_the_chunks():
    with pytest.raises(UserError, match="batch_size 8: is too small for 2 ranks x 3 chunks .* Write 12 or more"):
        Parts(2, 3).check(8)
    Parts(2, 3).check(12)
