"""The objective of a student with a teacher."""

import pytest
import torch
from torch import nn

from strop.distill import losses as distillation
from strop.distill.objective import Distilled
from strop.train.losses import losses
from strop.train.objective import Supervised, count


def make(hard_weight=0.3, weight=2.5):
    """A student and a teacher with dropout and batch norm, so that training mode would show."""
    torch.manual_seed(0)
    student, teacher = (
        nn.Sequential(nn.Flatten(), nn.Linear(16, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 3))
        for _ in range(2)
    )
    soft = distillation.get("kd")(weight=weight, hard_weight=hard_weight)
    supervised = Supervised(student, losses.get("cross-entropy")())
    return Distilled(supervised, teacher, soft), student, teacher


def batch(n=6):
    generator = torch.Generator().manual_seed(1)
    return torch.randn(n, 1, 4, 4, generator=generator), torch.arange(n) % 3


def test_the_teacher_stays_as_it_is():
    """Frozen, in eval mode, outside the state and the parameters, untouched by a training step."""
    objective, _, teacher = make()
    before = {name: tensor.clone() for name, tensor in teacher.state_dict().items()}
    optimizer = torch.optim.SGD(objective.parameters(), lr=0.5)
    objective.train()
    objective.mode(train=True)
    objective(*batch()).total.backward()
    optimizer.step()
    assert not any(module.training for module in teacher.modules())
    assert all(parameter.grad is None and not parameter.requires_grad for parameter in teacher.parameters())
    assert all(torch.equal(tensor, before[name]) for name, tensor in teacher.state_dict().items())
    assert all(name.startswith("student.") for name in objective.state_dict())
    ours = {id(parameter) for parameter in objective.parameters()}
    assert ours and not ours & {id(parameter) for parameter in teacher.parameters()}
    assert teacher not in list(objective.modules())


def test_the_student_learns():
    """All of it gets a gradient, and mode() switches it and nothing else."""
    objective, student, teacher = make()
    objective.mode(train=True)
    assert student.training and not teacher.training
    objective(*batch()).total.backward()
    assert all(parameter.grad.any() for parameter in student[-1].parameters())
    objective.mode(train=False)
    assert not student.training


@pytest.mark.parametrize(("hard_weight", "weight"), [(0.1, 9.0), (1.0, 0.0), (0.0, 1.0), (0.3, 2.5)])
def test_total_by_hand(hard_weight, weight):
    """hard_weight * (sum on the labels) + weight * (sum on the teacher's answers); "loss" is that on the labels."""
    objective, student, teacher = make(hard_weight, weight)
    objective.mode(train=False)
    images, target = batch()
    loss = objective(images, target)
    logits, taught = student(images), teacher(images)
    hard = nn.functional.cross_entropy(logits, target, reduction="sum").item()
    soft = 6 * distillation.get("kd")()(logits, taught, target).item()
    assert loss.parts["loss"].item() == pytest.approx(hard, rel=1e-5)
    assert loss.parts["soft"].item() == pytest.approx(soft, rel=1e-5)
    assert loss.total.item() == pytest.approx(hard_weight * hard + weight * soft, rel=1e-5)
    assert loss.parts["total"].item() == loss.total.item()
    expected = count(logits, target)
    assert all(torch.equal(loss.parts[name], expected[name]) for name in ("hits", "seen"))


def test_sums_of_batches_add_up():
    """In eval mode the sums over 2 + 4 pictures are those over all 6: a smaller batch counts for what it holds."""
    objective, *_ = make()
    objective.mode(train=False)
    images, target = batch()
    whole, *parts = (objective(images[cut], target[cut]) for cut in (slice(None), slice(0, 2), slice(2, 6)))
    assert [part.weight for part in (whole, *parts)] == [6, 2, 4]
    assert whole.total.item() == pytest.approx(sum(part.total.item() for part in parts), rel=1e-5)
    for name in whole.parts:
        torch.testing.assert_close(whole.parts[name], parts[0].parts[name] + parts[1].parts[name])


def test_a_student_that_is_its_teacher():
    """Its soft part is 0, so only the labels are left."""
    objective, student, teacher = make()
    student.load_state_dict(teacher.state_dict())
    objective.mode(train=False)
    loss = objective(*batch())
    assert loss.parts["soft"].item() == pytest.approx(0, abs=1e-5)
    assert loss.total.item() == pytest.approx(0.3 * loss.parts["loss"].item(), rel=1e-4)
