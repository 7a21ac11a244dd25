"""float16 gradients: scaled out of the way of zero, scaled back before anything sees them."""

import json

import pytest
import torch
from torch import nn

from strop.train.scaling import UNSCALED, Scaled, make_scaling


def step(scaling, loss_of, *, clip=None, start=1.0):
    """One SGD step of w = 1 by `loss_of(w)`; the weight, and the gradient that the optimizer's hook saw."""
    weight = nn.Parameter(torch.tensor([start]))
    optimizer, seen = torch.optim.SGD([weight], lr=1.0), []
    optimizer.register_step_pre_hook(lambda *_: seen.append(weight.grad.item()))
    scaling.backward(loss_of(weight))
    scaling.step(optimizer)
    return weight.item(), seen


def test_a_scaled_step_is_the_step():
    """By powers of two scaling is exact: w - 0.25, and the hook, where clipping is, sees the plain gradient."""
    assert (
        step(Scaled("cpu"), lambda w: (0.25 * w).sum()) == step(UNSCALED, lambda w: (0.25 * w).sum()) == (0.75, [0.25])
    )


def test_small_gradients_survive_half_precision():
    """2**-26 is zero in float16 (the least is 2**-24), and comes back when the loss is scaled by 2**16."""

    def through_half(w):
        return (w.half() * torch.tensor(2.0**-20).half()).float().sum() * 2.0**-6

    assert step(UNSCALED, through_half, start=0.0)[0] == 0.0
    assert step(Scaled("cpu"), through_half, start=0.0)[0] == -(2.0**-26)


def test_an_infinite_gradient_leaves_the_weight_and_halves_the_scale():
    """And what comes back from a checkpoint goes on from the halved one."""
    scaling = Scaled("cpu")
    before = scaling.state()["scale"]
    assert step(scaling, lambda w: (w * float("inf")).sum()) == (1.0, [])
    assert scaling.state()["scale"] == before / 2 == 2.0**15
    other = Scaled("cpu")
    other.restore(json.loads(json.dumps(scaling.state())))
    assert other.state() == scaling.state()


@pytest.mark.parametrize(("precision", "kind"), [("fp16", "Scaled"), ("bf16", "Unscaled"), ("fp32", "Unscaled")])
def test_only_float16_is_scaled(precision, kind):
    """bf16 has the range of float32."""
    assert type(make_scaling(precision, "cpu")).__name__ == kind and UNSCALED.state() == {}
