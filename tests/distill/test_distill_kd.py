"""Knowledge distillation: zero at equality, the formula recomposed, invariances, extremes."""

import math

import pytest
import torch

from strop.distill import losses

TARGET = torch.tensor([0, 1, 2, 0])


def kd(**options):
    return losses.get("kd")(**options)


def draw(seed, scale=3.0):
    return scale * torch.randn(4, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def by_hand(student, teacher, temperature):
    """temperature**2 * mean over pictures of sum_k p log(p / q), in plain Python floats."""
    total = 0.0
    for ours, theirs in zip(student.tolist(), teacher.tolist(), strict=True):
        p = [math.exp(z / temperature) for z in theirs]
        q = [math.exp(z / temperature) for z in ours]
        p, q = [v / sum(p) for v in p], [v / sum(q) for v in q]
        total += sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))
    return temperature**2 * total / len(student)


@pytest.mark.parametrize("standardize", [True, False])
@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0, 7.0])
def test_zero_and_flat_at_equality(standardize, temperature):
    """A student that says what the teacher says pays nothing and is pulled nowhere; any other pays."""
    teacher = draw(0)
    student = teacher.clone().requires_grad_()
    loss = kd(temperature=temperature, standardize=standardize)(student, teacher, TARGET)
    loss.backward()
    assert loss.item() == pytest.approx(0, abs=1e-12)
    torch.testing.assert_close(student.grad, torch.zeros_like(student), rtol=0, atol=1e-12)
    assert kd(temperature=temperature, standardize=standardize)(draw(1), teacher, TARGET).item() > 1e-3


@pytest.mark.parametrize("temperature", [0.7, 1.0, 4.0])
def test_recomposed_by_hand(temperature):
    """Without standardisation."""
    student, teacher = draw(1), draw(2)
    found = kd(temperature=temperature, standardize=False)(student, teacher, TARGET).item()
    assert found == pytest.approx(by_hand(student, teacher, temperature), rel=1e-10)


def test_recomposed_by_hand_with_standardised_logits():
    """Each picture's logits less their mean, over their sample standard deviation (K - 1)."""

    def z(logits):
        rows = []
        for row in logits.tolist():
            mean = sum(row) / len(row)
            sd = math.sqrt(sum((v - mean) ** 2 for v in row) / (len(row) - 1))
            rows.append([(v - mean) / sd for v in row])
        return torch.tensor(rows, dtype=torch.float64)

    student, teacher = draw(1), draw(2)
    found = kd(temperature=2.0, standardize=True)(student, teacher, TARGET).item()
    assert found == pytest.approx(by_hand(z(student), z(teacher), 2.0), rel=1e-6)


def test_the_factor_of_temperature_squared():
    """It keeps gradients at their size: far above the logits' range the loss tends to |dz|^2 / (2 K), not to 0.

    Hinton et al., section 2.1: in the limit distillation matches logits, given that they are zero-mean.
    """
    student, teacher = (z - z.mean(1, keepdim=True) for z in (draw(1), draw(2)))
    limit = (student - teacher).square().sum(1).mean().item() / (2 * 5)
    assert kd(temperature=1e4, standardize=False)(student, teacher, TARGET).item() == pytest.approx(limit, rel=1e-3)


@pytest.mark.parametrize("which", ["student", "teacher"])
def test_scale_and_shift_do_not_matter_when_standardised(which):
    """Of either side's logits, picture by picture; without standardisation the scale does matter."""
    student, teacher = draw(1), draw(2)
    scale = torch.tensor([[0.1], [1.0], [7.0], [100.0]], dtype=torch.float64)
    changed = {"student": student, "teacher": teacher}
    changed[which] = scale * changed[which] + torch.arange(4, dtype=torch.float64)[:, None]
    for standardize in (True, False):
        loss = kd(standardize=standardize)
        same = loss(student, teacher, TARGET).item() == pytest.approx(loss(**changed, target=TARGET).item(), rel=1e-5)
        assert same is standardize


def test_order_of_classes_and_pictures_does_not_matter():
    """Permuting the classes or the batch changes nothing; the target is not looked at."""
    student, teacher = draw(1), draw(2)
    expected = kd()(student, teacher, TARGET).item()
    classes, batch = [3, 1, 4, 0, 2], [2, 0, 3, 1]
    assert kd()(student[:, classes], teacher[:, classes], TARGET).item() == pytest.approx(expected)
    assert kd()(student[batch], teacher[batch], TARGET.flip(0)).item() == pytest.approx(expected)


@pytest.mark.parametrize("standardize", [True, False])
@pytest.mark.parametrize("temperature", [0.5, 2.0])
def test_finite_at_extreme_logits(standardize, temperature):
    """Logits of 1e4 that contradict each other, and rows that are all equal: finite loss and gradient in float32."""
    student = torch.tensor([[1e4, -1e4, 0.0], [5.0, 5.0, 5.0], [0.0, 1e4, 1e4]], requires_grad=True)
    teacher = torch.tensor([[-1e4, 1e4, 0.0], [1e4, 0.0, 0.0], [2.0, 2.0, 2.0]])
    loss = kd(temperature=temperature, standardize=standardize)(student, teacher, TARGET[:3])
    loss.backward()
    assert torch.isfinite(loss) and torch.isfinite(student.grad).all() and loss > 0


@pytest.mark.parametrize(
    ("options", "shown"),
    [({"temperature": 0.0}, "0.0"), ({"temperature": -2.0}, "-2.0"), ({"weight": -1.0}, "-1.0"),
     ({"hard_weight": -0.5}, "-0.5")],
)  # fmt: skip
def test_arguments_out_of_range(options, shown):
    """The value is shown."""
    with pytest.raises(ValueError, match=shown):
        kd(**options)
