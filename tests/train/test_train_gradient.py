"""The gradient of a batch in parts is that of the batch: uneven parts, weights, clipping, random numbers."""

import copy

import pytest
import torch
from torch import nn

from strop.data.chance import key
from strop.data.load import Batch, Loader
from strop.data.parts import Parts
from strop.train.fit import fit
from strop.train.gradient import PairwiseSum, batch_gradient
from strop.train.objective import Loss, Supervised, count

WEIGHTS = torch.tensor([0.2, 1.0, 3.5])


class Weighted(Supervised):
    """Cross-entropy with class weights: the mean divides by the weights of the pictures, not by their number."""

    def forward(self, images, target):
        logits = self.student(images)
        total = nn.functional.cross_entropy(logits, target, WEIGHTS, reduction="sum")
        return Loss(total, WEIGHTS[target].sum(), {"loss": total.detach(), **count(logits, target)})


@pytest.fixture
def objective():
    """A network without batch norm and dropout."""
    torch.manual_seed(7)
    net = nn.Sequential(nn.Conv2d(1, 6, 3), nn.ReLU(), nn.MaxPool2d(3), nn.Flatten(), nn.Linear(24, 3))
    return Weighted(Floats(net), None)


class Floats(nn.Module):
    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, images):
        return self.net(images.float() / 255)


@pytest.fixture
def batch(make_loader):
    [batch] = make_loader(augment=(), batch_size=22).epoch(0)
    return batch


def gradients(objective):
    return {name: None if p.grad is None else p.grad.clone() for name, p in objective.named_parameters()}


CUTS = [Parts(1, 3), Parts(1, 5), Parts(2, 1), Parts(4, 2), Parts(3, 3), Parts(16, 2)]


@pytest.mark.parametrize("parts", CUTS, ids=lambda p: f"{p.ranks}x{p.accumulate}")
def test_uneven_parts_with_class_weights_give_the_gradient_of_the_whole(objective, batch, parts):
    """torch's own weighted mean over all 22 pictures; the parts differ in size and in the sum of their weights."""
    nn.functional.cross_entropy(objective.student(batch.images), batch.targets, WEIGHTS).backward()
    expected = gradients(objective)
    loss = batch_gradient(objective, batch, parts.cut(22), seed=0, step=0)
    for name, gradient in gradients(objective).items():
        torch.testing.assert_close(gradient, expected[name], rtol=1e-5, atol=1e-7)
    with torch.no_grad():
        whole = objective(batch.images, batch.targets)
    assert float(loss.total) == pytest.approx(float(whole.total), rel=1e-6)
    assert float(loss.weight) == pytest.approx(float(whole.weight), rel=1e-6)
    assert loss.parts["seen"].tolist() == whole.parts["seen"].tolist() and loss.parts["seen"].dtype == torch.int64
    assert loss.parts["hits"].tolist() == whole.parts["hits"].tolist()


def test_a_mean_of_means_would_differ(objective, batch):
    """The control: averaging the parts' own means, as is often done, misses the gradient by far."""
    batch_gradient(objective, batch, Parts().cut(22), seed=0, step=0)
    right = gradients(objective)
    objective.zero_grad()
    for rows in torch.arange(22).split(6):
        loss = objective(batch.images[rows], batch.targets[rows])
        (loss.total / loss.weight / 4).backward()
    assert max(float((right[name] - p.grad).abs().max()) for name, p in objective.named_parameters()) > 1e-3


def test_a_chunk_is_seeded_by_seed_step_and_number(make_objective, batch):
    """The dropout of chunk k of step 9 is that after manual_seed(key(4, "step", 9, k)); uncut, that of the step."""
    for accumulate in (1, 3):
        objective = make_objective(dropout=0.5)
        objective.mode(train=True)
        reference = copy.deepcopy(objective)
        cut = Parts(1, accumulate).cut(22)
        batch_gradient(objective, batch, cut, seed=4, step=9)
        for number, chunk in enumerate(cut.shares[0]):
            torch.manual_seed(key(4, "step", 9, number) if accumulate > 1 else key(4, "step", 9))
            rows = slice(chunk.start, chunk.stop)
            (reference(batch.images[rows], batch.targets[rows]).total / 22).backward()
        for ours, theirs in zip(objective.parameters(), reference.parameters(), strict=True):
            assert torch.equal(ours.grad, theirs.grad)


def test_statistics_of_the_first_rank_are_kept(make_objective, batch):
    """Batch norm: as on many devices each share has its own statistics, and those of the first stay in the buffers."""
    objective = make_objective()
    objective.mode(train=True)
    first, chunks = copy.deepcopy(objective), copy.deepcopy(objective)
    batch_gradient(objective, batch, Parts(2).cut(22), seed=0, step=0)
    first(batch.images[:11], batch.targets[:11])
    for ours, theirs in zip(objective.buffers(), first.buffers(), strict=True):
        assert torch.equal(ours, theirs)
    batch_gradient(chunks, batch, Parts(1, 2).cut(22), seed=0, step=0)
    first(batch.images[11:], batch.targets[11:])
    for ours, theirs in zip(chunks.buffers(), first.buffers(), strict=True):
        assert torch.equal(ours, theirs), "accumulated chunks go through batch norm one after the other"


def test_a_rank_without_pictures_changes_nothing(make_objective, batch):
    """Three pictures for four ranks: all go to the first, and buffers, counts and gradient are those of one rank."""
    few = Batch(*(column[:3] for column in batch))
    alone, among_four = make_objective(dropout=0.0), make_objective(dropout=0.0)
    for objective, parts in ((alone, Parts()), (among_four, Parts(4))):
        objective.mode(train=True)
        loss = batch_gradient(objective, few, parts.cut(3), seed=0, step=0)
        assert loss.parts["seen"].sum() == 3 and loss.weight == 3
    for ours, theirs in zip(among_four.parameters(), alone.parameters(), strict=True):
        assert torch.equal(ours.grad, theirs.grad)
    for ours, theirs in zip(among_four.buffers(), alone.buffers(), strict=True):
        assert torch.equal(ours, theirs)
    assert among_four.student.training


def test_what_takes_no_part_gets_no_gradient(objective, batch):
    """A zero in its place would let weight decay shrink it."""
    objective.student.unused = nn.Linear(3, 3)
    batch_gradient(objective, batch, Parts(2, 2).cut(22), seed=0, step=0)
    assert objective.student.unused.weight.grad is None
    assert objective.student.net[0].weight.grad is not None


def test_sums_in_pairs_keep_one_order():
    """((0 + 1) + (2 + 3)) + (4 + 5), and so does each half by itself: told apart by what float32 rounds away."""
    values = torch.tensor([1.0, 2.0**-24, 2.0**-24, 2.0**-24, 2.0**-23, 0.75], dtype=torch.float32)

    def total(numbers):
        pairs = PairwiseSum()
        for number in numbers:
            pairs.add([number.clone()])
        return pairs.total()[0]

    a, b, c, d, e, f = values
    assert total(values) == ((a + b) + (c + d)) + (e + f)
    assert total(values) != ((((a + b) + c) + d) + e) + f
    assert total(values[:4]) == total(values[:2]) + total(values[2:4])


@pytest.mark.parametrize("parts", [Parts(1, 4), Parts(2, 2)], ids=["4 chunks", "2 x 2"])
def test_clipping_sees_the_mean_gradient(objective, make_loader, parts):
    """With `register_step_pre_hook`, clipping at a norm that always bites, weights equal those of uncut batches."""

    def trained(parts):
        mine = copy.deepcopy(objective)
        optimizer = torch.optim.SGD(mine.parameters(), lr=0.5, momentum=0.9)
        norms = []

        def clip(optimizer, args, kwargs):
            norms.append(float(nn.utils.clip_grad_norm_(mine.parameters(), 0.05)))

        optimizer.register_step_pre_hook(clip)
        source = make_loader(augment=())
        loader = Loader(source.pictures, batch_size=8, seed=5, parts=parts)
        *_, last = fit(mine, loader, optimizer, epochs=4, schedule=lambda t: 1.0, seed=1)
        assert min(norms) > 0.05 and last.sums["seen"].sum() == 22
        return mine

    for ours, theirs in zip(trained(parts).parameters(), trained(Parts()).parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("parts", [Parts(1, 3), Parts(2)], ids=["accumulate 3", "virtual ranks 2"])
def test_going_on_in_the_middle_of_an_epoch(make_objective, make_loader, parts):
    """With dropout, batch norm and cut batches: 5 steps, then the rest in a fresh loop, equal to the bit."""

    def pieces():
        objective = make_objective()
        loader = Loader(make_loader().pictures, batch_size=8, seed=5, parts=parts)
        return objective, loader, torch.optim.SGD(objective.parameters(), lr=0.1)

    options = {"epochs": 3, "schedule": lambda t: 1 - t, "seed": 2}
    whole, loader, optimizer = pieces()
    *_, end = fit(whole, loader, optimizer, **options)
    cut, loader, optimizer = pieces()
    halt = next(p for p in fit(cut, loader, optimizer, save_now=lambda: True, **options) if p.step == 5)
    *_, again = fit(cut, loader, optimizer, start=5, sums=halt.sums, **options)
    assert end.sums["loss"] == again.sums["loss"]
    for ours, theirs in zip(cut.state_dict().values(), whole.state_dict().values(), strict=True):
        assert torch.equal(ours, theirs)
