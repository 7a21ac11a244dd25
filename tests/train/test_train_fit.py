"""The loop against a loop written by hand, resuming bit for bit, and the seams."""

import copy

import pytest
import torch

from strop.data.chance import key
from strop.errors import RunFailed
from strop.train import checkpoint
from strop.train.fit import fit
from strop.train.objective import Loss, Supervised, count
from strop.train.optim import make_optimizer, make_schedule

EPOCHS, SEED = 4, 11


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def sgd(objective, name="sgd"):
    return make_optimizer(objective, name, lr=0.05, weight_decay=1e-2)


def run(objective, optimizer, loader, **more):
    """The whole training; its last `Progress`."""
    schedule = make_schedule("cosine", warmup=0.2)
    *_, last = fit(objective, loader, optimizer, epochs=EPOCHS, schedule=schedule, seed=SEED, **more)
    return last


def test_a_loop_written_by_hand(make_objective, make_loader):
    """Shuffling, augmentation, dropout, schedule and mean over the batch: the weights are equal to the bit."""
    objective = make_objective(smoothing=0.0)
    run(objective, sgd(objective), make_loader())

    student = make_objective(smoothing=0.0).student
    optimizer = sgd(student)
    loader, step, schedule = make_loader(), 0, make_schedule("cosine", warmup=0.2)
    criterion = torch.nn.CrossEntropyLoss()
    for epoch in range(EPOCHS):
        for images, targets, _ in loader.epoch(epoch):
            torch.manual_seed(key(SEED, "step", step))
            for group in optimizer.param_groups:
                group["lr"] = 0.05 * schedule(step / (EPOCHS * len(loader)))
            optimizer.zero_grad()
            criterion(student.train()(images), targets).backward()
            optimizer.step()
            step += 1
    # The objective's sum is divided again: 1/B * B must round to 1 for equal bits, and does for 8 and 6.
    assert same(objective.student.state_dict(), student.state_dict())


def test_an_uneven_last_batch_is_weighted_by_its_pictures(make_objective, make_loader):
    """The gradient of the last, smaller batch is that of the mean over its own 6 pictures; sums count all 22."""
    objective, loader = make_objective(dropout=0.0), make_loader(augment=())
    reference = copy.deepcopy(objective)
    gradients = []

    def note(lr):
        gradients.append({name: p.grad.clone() for name, p in objective.named_parameters()})

    progress = next(
        fit(objective, loader, torch.optim.SGD(objective.parameters(), lr=0.0), epochs=1, schedule=lambda t: 1.0,
            after_update=note)
    )  # fmt: skip
    batches = list(loader.epoch(0))
    assert [len(batch.targets) for batch in batches] == [8, 8, 6]
    loss = torch.nn.functional.cross_entropy(
        reference.student.train()(batches[-1].images), batches[-1].targets, label_smoothing=0.1
    )
    loss.backward()
    for name, parameter in reference.named_parameters():
        torch.testing.assert_close(gradients[-1][name], parameter.grad, rtol=1e-5, atol=1e-7)
    assert progress.sums["seen"].tolist() == [8, 7, 7]


def test_sums_cover_the_epoch(make_objective, make_loader):
    """With a learning rate of 0 the summed loss, unsmoothed, is that of all batches; each epoch begins at zero."""
    objective, loader = make_objective(dropout=0.0), make_loader(augment=())
    optimizer = torch.optim.SGD(objective.parameters(), lr=0.0)
    ends = list(fit(objective, loader, optimizer, epochs=2, schedule=lambda t: 1.0))
    for epoch, end in enumerate(ends):
        expected = sum(
            torch.nn.functional.cross_entropy(objective.student(b.images), b.targets, reduction="sum")
            for b in loader.epoch(epoch)
        )
        assert end.sums["loss"].item() == pytest.approx(expected.item(), rel=1e-5)
        assert end.sums["seen"].sum() == 22


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw"])
@pytest.mark.parametrize("stop", [1, 3, 5, 11])
def test_going_on_equals_not_stopping(make_objective, make_loader, tmp_path, name, stop):
    """Stopped at any step, saved, and restored into fresh objects: weights, optimizer and sums equal to the bit."""
    whole = make_objective()
    whole_optimizer = sgd(whole, name)
    whole_end = run(whole, whole_optimizer, make_loader())

    first = make_objective()
    optimizer = sgd(first, name)
    schedule = make_schedule("cosine", warmup=0.2)
    loop = fit(first, make_loader(), optimizer, epochs=EPOCHS, schedule=schedule, seed=SEED, save_now=lambda: True)
    progress = next(p for p in loop if p.step == stop)
    sums = {} if progress.epoch_done else progress.sums
    checkpoint.save(tmp_path, stop, first, optimizer, sums, {}, more={})

    torch.manual_seed(999)  # the new process has drawn other numbers
    second = make_objective()
    for parameter in second.parameters():
        parameter.data.normal_()
    optimizer = sgd(second, name)
    found = checkpoint.newest(tmp_path, pytest.fail)
    end = run(second, optimizer, make_loader(), start=found.step, sums=checkpoint.restore(found, second, optimizer))
    assert same(second.state_dict(), whole.state_dict())
    assert same(end.sums, whole_end.sums) and end.step == whole_end.step == 12
    for a, b in zip(whole.parameters(), second.parameters(), strict=True):
        assert same(
            {k: torch.as_tensor(v) for k, v in whole_optimizer.state[a].items()},
            {k: torch.as_tensor(v) for k, v in optimizer.state[b].items()},
        )


def test_stopping_makes_a_difference(make_objective, make_loader):
    """The control of the test above: without the optimizer's state the weights come out otherwise."""
    whole, cut = make_objective(), make_objective()
    run(whole, sgd(whole), make_loader())
    loop = fit(
        cut, make_loader(), sgd(cut), epochs=EPOCHS, schedule=make_schedule("cosine", warmup=0.2), seed=SEED,
        save_now=lambda: True,
    )  # fmt: skip
    next(p for p in loop if p.step == 5)
    run(cut, sgd(cut), make_loader(), start=5)
    assert not same(whole.state_dict(), cut.state_dict())


def test_an_optimizer_can_go_through_torch_state_dict(make_objective, make_loader):
    """Saved in the middle the torch way, where groups hold the scheduled rate, going on is still exact."""
    whole, cut = make_objective(), make_objective()
    run(whole, sgd(whole), make_loader())
    schedule = make_schedule("cosine", warmup=0.2)
    optimizer = sgd(cut)
    loop = fit(cut, make_loader(), optimizer, epochs=EPOCHS, schedule=schedule, seed=SEED, save_now=lambda: True)
    next(p for p in loop if p.step == 6)
    fresh = sgd(cut)
    fresh.load_state_dict(optimizer.state_dict())
    run(cut, fresh, make_loader(), start=6)
    assert same(whole.state_dict(), cut.state_dict())


def test_hands_control_back_at_epochs_and_save_points(make_objective, make_loader):
    """3 updates an epoch: yields at 3, 6, 9, 12, and wherever `save_now` says so, with what was done by then."""
    objective, asked = make_objective(), []

    def save_now():
        asked.append(None)
        return len(asked) == 2

    points = [
        (p.step, p.epoch, p.epoch_done, int(p.sums["seen"].sum()))
        for p in fit(objective, make_loader(), sgd(objective), epochs=EPOCHS, schedule=lambda t: 1.0, save_now=save_now)
    ]
    # save_now is not asked at an epoch's end: updates 1, 2, 4, 5, ...; its second call is after update 2.
    assert points == [(2, 0, False, 16), (3, 1, True, 22), (6, 2, True, 22), (9, 3, True, 22), (12, 4, True, 22)]


def test_an_epoch_end_keeps_its_sums(make_objective, make_loader):
    """What was handed out is not changed by the steps that follow."""
    objective = make_objective()
    loop = fit(objective, make_loader(), sgd(objective), epochs=2, schedule=lambda t: 1.0, save_now=lambda: True)
    first = next(loop)
    before = {name: part.clone() for name, part in first.sums.items()}
    list(loop)
    assert same(first.sums, before)


def test_the_learning_rate_follows_the_schedule(make_objective, make_loader):
    """after_update sees base rate times factor, each group its own; the rate is what the weights moved by."""
    objective = make_objective()
    parameters = list(objective.parameters())
    optimizer = torch.optim.SGD([{"params": parameters[:1], "lr": 0.1}, {"params": parameters[1:], "lr": 0.4}])
    rates, groups = [], []

    def note(lr):
        rates.append(lr)
        groups.append([group["lr"] for group in optimizer.param_groups])

    list(fit(objective, make_loader(), optimizer, epochs=2, schedule=lambda t: 1 - t, after_update=note))
    factors = [1, 5 / 6, 4 / 6, 3 / 6, 2 / 6, 1 / 6]
    assert rates == pytest.approx([0.1 * f for f in factors])
    assert [group for _, group in groups] == pytest.approx([0.4 * f for f in factors])


def test_the_seam_after_the_update(make_objective, make_loader):
    """What after_update does to the weights is there in the next step and at the end."""
    objective = make_objective()
    weight = objective.student.net[-1].weight

    def clear(lr):
        with torch.no_grad():
            weight[:, :12] = 0

    run(objective, sgd(objective), make_loader(), after_update=clear)
    assert not weight[:, :12].any() and weight[:, 12:].any()


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite(make_objective, make_loader, bad):
    """The run fails before the weights are touched, and says at which step and learning rate."""

    class Breaks(Supervised):
        calls = 0

        def forward(self, images, target):
            loss = super().forward(images, target)
            self.calls += 1
            return loss._replace(total=loss.total * bad) if self.calls == 5 else loss

    good = make_objective()
    objective = Breaks(good.student, good.loss)
    states = []
    with pytest.raises(RunFailed, match=rf"{bad}.* step 4 .*epoch 2, learning rate 0\.0333"):
        for _ in fit(
            objective, make_loader(), torch.optim.SGD(objective.parameters(), lr=0.05), epochs=4,
            schedule=lambda t: 1 - t, save_now=lambda: states.append(copy.deepcopy(objective.state_dict())),
        ):  # fmt: skip
            pass
    # The running means of batch norm move in the forward pass; the weights don't.
    for name, parameter in objective.named_parameters():
        assert torch.isfinite(parameter).all(), name
    assert torch.equal(states[-1]["student.net.6.weight"], objective.student.net[6].weight)


def test_counts_by_class():
    """Two right of three for class 0, none of one for class 1; class 2 was not seen."""
    logits = torch.tensor([[2.0, 1, 0], [2, 1, 0], [0, 1, 0], [1, 0, 0]])
    parts = count(logits, torch.tensor([0, 0, 0, 1]))
    assert parts["hits"].tolist() == [2, 0, 0] and parts["seen"].tolist() == [3, 1, 0]


def test_the_objective_returns_a_sum_and_its_weight(make_objective, make_loader):
    """total = B * mean loss; the parts carry no gradient."""
    objective = make_objective(dropout=0.0)
    objective.mode(train=False)
    batch = next(iter(make_loader(augment=()).epoch(0)))
    loss = objective(batch.images, batch.targets)
    assert isinstance(loss, Loss) and loss.weight == 8
    expected = torch.nn.functional.cross_entropy(objective.student(batch.images), batch.targets, label_smoothing=0.1)
    assert loss.total.item() == pytest.approx(8 * expected.item(), rel=1e-6)
    assert loss.total.requires_grad and not any(part.requires_grad for part in loss.parts.values())


def test_mode_switches_the_student(make_objective):
    """Training mode belongs to the objective."""
    objective = make_objective()
    for train in (False, True):
        objective.mode(train=train)
        assert all(module.training is train for module in objective.student.modules())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_going_on_in_the_middle_of_an_epoch_on_a_gpu(make_objective, make_loader, tmp_path):
    """Sums come back from a file on the CPU and go on where the loop computes."""
    objective = make_objective().cuda()
    optimizer = sgd(objective)
    loop = fit(objective, make_loader(), optimizer, epochs=2, schedule=lambda t: 1.0, save_now=lambda: True)
    progress = next(p for p in loop if p.step == 2)
    checkpoint.save(tmp_path, 2, objective, optimizer, progress.sums, {}, more={})
    sums = checkpoint.restore(checkpoint.newest(tmp_path, pytest.fail), objective, optimizer)
    *_, last = fit(objective, make_loader(), optimizer, epochs=1, schedule=lambda t: 1.0, start=2, sums=sums)
    assert last.sums["seen"].sum() == 22
