"""Sharpness-aware minimisation against a loop written by hand, and resumed."""

from functools import partial

import pytest
import torch

from strop.data.chance import key
from strop.errors import NotFinite
from strop.train import checkpoint
from strop.train.fit import fit
from strop.train.gradient import batch_gradient
from strop.train.optim import make_optimizer, make_schedule
from strop.train.sam import sam_gradient

EPOCHS, SEED, RHO = 3, 11, 0.3
SCHEDULE = make_schedule("cosine", warmup=0.2)


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def sgd(objective):
    return make_optimizer(objective, "sgd", lr=0.05, weight_decay=1e-2)


FLAT = partial(sam_gradient, rho=RHO)


def run(objective, optimizer, loader, gradient=FLAT, **more):
    how = {"epochs": EPOCHS, "schedule": SCHEDULE, "seed": SEED, "gradient": gradient}
    *_, last = fit(objective, loader, optimizer, **how, **more)
    return last


def test_a_loop_written_by_hand(make_objective, make_loader):
    """Two gradients an update with the same dropout, from w and from w + rho g / ||g||; statistics from the first."""
    objective = make_objective(smoothing=0.0)
    end = run(objective, sgd(objective), make_loader())

    student = make_objective(smoothing=0.0).student.train()
    optimizer, loader, step, shown = sgd(student), make_loader(), 0, 0.0
    for epoch in range(EPOCHS):
        shown = 0.0
        for images, targets, _ in loader.epoch(epoch):
            for group in optimizer.param_groups:
                group["lr"] = 0.05 * SCHEDULE(step / (EPOCHS * len(loader)))

            def gradient(images=images, targets=targets, step=step):
                torch.manual_seed(key(SEED, "step", step))
                optimizer.zero_grad()
                loss = torch.nn.functional.cross_entropy(student(images), targets)
                loss.backward()
                return loss.item() * len(targets)

            shown += gradient()
            parameters, buffers = list(student.parameters()), list(student.buffers())
            weights, statistics = [p.detach().clone() for p in parameters], [b.clone() for b in buffers]
            norm = sum(p.grad.square().sum() for p in parameters).sqrt()
            with torch.no_grad():
                for parameter in parameters:
                    parameter += RHO * parameter.grad / norm
            gradient()
            with torch.no_grad():
                for tensor, value in zip(parameters + buffers, weights + statistics, strict=True):
                    tensor.copy_(value)
            optimizer.step()
            step += 1
    for name, tensor in student.state_dict().items():
        torch.testing.assert_close(objective.student.state_dict()[name], tensor, rtol=1e-4, atol=1e-5)
    assert end.sums["loss"].item() == pytest.approx(shown, rel=1e-4)
    assert objective.student.net[1].num_batches_tracked == step, "each update counts once in batch norm"


def test_it_is_not_the_plain_loop(make_objective, make_loader):
    """And tends to it: at rho = 1e-6 the weights differ by rounding only."""
    plain, near, far = make_objective(), make_objective(), make_objective()
    run(plain, sgd(plain), make_loader(), batch_gradient)
    run(near, sgd(near), make_loader(), partial(sam_gradient, rho=1e-6))
    run(far, sgd(far), make_loader())
    for (name, a), b in zip(plain.state_dict().items(), near.state_dict().values(), strict=True):
        torch.testing.assert_close(b, a, rtol=1e-3, atol=1e-4, msg=name)
    assert (plain.student.net[6].weight - far.student.net[6].weight).abs().max() > 1e-3


@pytest.mark.parametrize("stop", [1, 4])
def test_going_on_equals_not_stopping(make_objective, make_loader, tmp_path, stop):
    """To the bit, from inside an epoch."""
    whole = make_objective()
    whole_end = run(whole, sgd(whole), make_loader())
    first, optimizer = make_objective(), None
    optimizer = sgd(first)
    how = {"epochs": EPOCHS, "schedule": SCHEDULE, "seed": SEED, "gradient": FLAT}
    loop = fit(first, make_loader(), optimizer, **how, save_now=lambda: True)
    progress = next(p for p in loop if p.step == stop)
    checkpoint.save(tmp_path, stop, first, optimizer, progress.sums, {}, more={})
    second = make_objective()
    optimizer = sgd(second)
    found = checkpoint.newest(tmp_path, pytest.fail)
    end = run(second, optimizer, make_loader(), start=stop, sums=checkpoint.restore(found, second, optimizer))
    assert same(second.state_dict(), whole.state_dict()) and same(end.sums, whole_end.sums)


def test_a_loss_that_is_not_finite(make_objective, make_loader):
    objective = make_objective()
    with torch.no_grad():
        objective.student.net[6].bias.fill_(float("nan"))
    with pytest.raises(NotFinite, match="the loss is nan"):
        run(objective, sgd(objective), make_loader())
