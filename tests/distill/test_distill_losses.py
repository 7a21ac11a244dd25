"""The losses beside kd: the formula recomposed by hand, zero at equality, what must not matter, extremes."""

import math

import numpy as np
import pytest
import torch

from strop.distill import losses

TARGET = torch.tensor([0, 1, 2, 0])


def draw(seed, scale=3.0):
    return scale * torch.randn(4, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


STUDENT, TEACHER = draw(1), draw(2)


def loss(name, student=STUDENT, teacher=TEACHER, target=TARGET, **options):
    return losses.get(name)(**options)(student, teacher, target).item()


def softmax(row, temperature=1.0):
    weights = [math.exp(z / temperature) for z in row]
    return [w / sum(weights) for w in weights]


def kl(p, q):
    return sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))


def rows(temperature):
    """(teacher's probabilities, student's, target) of each picture, as plain lists."""
    for student, teacher, target in zip(STUDENT.tolist(), TEACHER.tolist(), TARGET.tolist(), strict=True):
        yield softmax(teacher, temperature), softmax(student, temperature), target


def without(p, target):
    others = [v for k, v in enumerate(p) if k != target]
    return [v / sum(others) for v in others]


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_dkd_by_hand(temperature):
    """Equation 7 of the paper, times temperature squared, in plain floats."""
    total = 0.0
    for p, q, target in rows(temperature):
        two_way = kl([p[target], 1 - p[target]], [q[target], 1 - q[target]])
        total += temperature**2 * (0.7 * two_way + 3.0 * kl(without(p, target), without(q, target)))
    assert loss("dkd", temperature=temperature, alpha=0.7, beta=3.0) == pytest.approx(total / 4, rel=1e-10)


def test_dkd_recomposes_into_kd():
    """KD = target term + (1 - p_target) * others term; with that beta, DKD must give KD back (equation 5)."""
    for i in range(4):
        one = slice(i, i + 1)
        pictures = {"student": STUDENT[one], "teacher": TEACHER[one], "target": TARGET[one]}
        beta = 1 - softmax(TEACHER[i].tolist(), 4.0)[TARGET[i]]
        whole = loss("kd", **pictures, temperature=4.0)
        assert loss("dkd", **pictures, temperature=4.0, alpha=1.0, beta=beta) == pytest.approx(whole, rel=1e-10)


def test_dkd_without_its_first_term_keeps_the_factor_of_the_temperature():
    """alpha = 0 leaves temperature**2 in place: far above the logits' range it tends to |dz|^2 / (2 (K - 1)), not 0."""
    others = torch.ones(4, 5, dtype=torch.bool).scatter_(1, TARGET[:, None], False)
    z = [logits[others].view(4, 4) for logits in (STUDENT, TEACHER)]
    difference = (z[0] - z[0].mean(1, keepdim=True)) - (z[1] - z[1].mean(1, keepdim=True))
    limit = difference.square().sum(1).mean().item() / (2 * 4)
    assert loss("dkd", temperature=1e4, alpha=0.0, beta=1.0) == pytest.approx(limit, rel=1e-3)


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_dist_by_hand(temperature):
    """Pearson's correlation by numpy, over the rows and over the columns (equations 7 to 9)."""
    ours, theirs = (np.array([softmax(row, temperature) for row in z.tolist()]) for z in (STUDENT, TEACHER))
    among_classes = np.mean([1 - np.corrcoef(a, b)[0, 1] for a, b in zip(ours, theirs, strict=True)])
    among_pictures = np.mean([1 - np.corrcoef(a, b)[0, 1] for a, b in zip(ours.T, theirs.T, strict=True)])
    expected = temperature**2 * (2.0 * among_classes + 0.5 * among_pictures)
    assert loss("dist", temperature=temperature, beta=2.0, gamma=0.5) == pytest.approx(expected, rel=1e-6)


def test_dist_asks_for_the_order_only():
    """A student whose probabilities of a picture are a x + b of the teacher's pays nothing among classes."""
    shares = torch.softmax(TEACHER, 1)
    student = (0.5 * shares + 0.1).log()  # adds up to 1 over the five classes
    assert loss("dist", student=student, gamma=0.0) == pytest.approx(0, abs=1e-9)
    assert loss("kd", student=student, temperature=1.0) > 0.05


@pytest.mark.parametrize("temperature", [1.0, 2.0])
def test_nkd_by_hand(temperature):
    """Equation 8 of the paper less the teacher's entropy among the other classes."""
    on_target = sum(-p[t] * math.log(q[t]) for p, q, t in rows(1.0)) / 4
    others = sum(kl(without(p, t), without(q, t)) for p, q, t in rows(temperature)) / 4
    expected = on_target + 1.5 * temperature**2 * others
    assert loss("nkd", temperature=temperature, gamma=1.5) == pytest.approx(expected, rel=1e-10)


def test_nkd_has_the_gradient_of_the_papers_form():
    """-sum q_teacher log q_student differs from the divergence by what does not depend on the student."""
    student = STUDENT.clone().requires_grad_()
    losses.get("nkd")(gamma=2.0, temperature=3.0)(student, TEACHER, TARGET).backward()
    ours = student.grad.clone()
    student.grad = None
    total = 0.0
    for i, target in enumerate(TARGET.tolist()):
        others = [k for k in range(5) if k != target]
        q = torch.log_softmax(student[i, others] / 3.0, 0)
        p = torch.softmax(TEACHER[i, others] / 3.0, 0)
        trusted = torch.softmax(TEACHER[i], 0)[target] * torch.log_softmax(student[i], 0)[target]
        total = total - trusted - 2.0 * 9.0 * (p * q).sum()
    (total / 4).backward()
    torch.testing.assert_close(ours, student.grad, rtol=1e-9, atol=1e-12)


def test_mlkd_by_hand():
    """The three terms at two temperatures, in numpy."""
    expected = 0.0
    for temperature in (2.0, 5.0):
        ours, theirs = (np.array([softmax(row, temperature) for row in z.tolist()]) for z in (STUDENT, TEACHER))
        expected += temperature**2 * np.mean([kl(p, q) for p, q in zip(theirs, ours, strict=True)])
        expected += 0.3 * ((ours @ ours.T - theirs @ theirs.T) ** 2).sum() / 4**2
        expected += 0.6 * ((ours.T @ ours - theirs.T @ theirs) ** 2).sum() * 5 / 4**2
    assert loss("mlkd", temperatures="2/5", pictures=0.3, classes=0.6) == pytest.approx(expected / 2, rel=1e-9)


def test_mlkd_does_not_depend_on_the_size_of_the_batch():
    """The same pictures twice over cost what they cost once."""
    twice = [torch.cat([z, z]) for z in (STUDENT, TEACHER, TARGET)]
    assert loss("mlkd", *twice) == pytest.approx(loss("mlkd"), rel=1e-12)


def test_mlkd_at_one_temperature_alone_is_kd():
    """Without the two likenesses."""
    assert loss("mlkd", temperatures="4", pictures=0.0, classes=0.0) == pytest.approx(loss("kd", temperature=4.0))


@pytest.mark.parametrize("name", ["kd", "dkd", "dist", "mlkd"])
def test_zero_and_flat_at_equality(name):
    """A student that says what the teacher says pays nothing and is pulled nowhere; any other pays."""
    student = TEACHER.clone().requires_grad_()
    found = losses.get(name)()(student, TEACHER, TARGET)
    found.backward()
    assert found.item() == pytest.approx(0, abs=1e-7) and student.grad.abs().max() < 1e-7
    assert loss(name) > 1e-3


@pytest.mark.parametrize("name", losses.names())
def test_order_of_classes_and_pictures_does_not_matter(name):
    """Permuting the classes together with the target, or the batch, changes nothing."""
    classes, batch = torch.tensor([3, 1, 4, 0, 2]), torch.tensor([2, 0, 3, 1])
    moved = torch.argsort(classes)[TARGET]
    assert loss(name, STUDENT[:, classes], TEACHER[:, classes], moved) == pytest.approx(loss(name))
    assert loss(name, STUDENT[batch], TEACHER[batch], TARGET[batch]) == pytest.approx(loss(name))


@pytest.mark.parametrize("name", losses.names())
@pytest.mark.parametrize("k", [2, 3])
def test_finite_at_extreme_logits(name, k):
    """Logits of 1e4 that contradict each other, and rows that are all equal: finite loss and gradient in float32."""
    student = torch.tensor([[1e4, -1e4, 0.0], [5.0, 5.0, 5.0], [0.0, 1e4, 1e4]])[:, :k].requires_grad_()
    teacher = torch.tensor([[-1e4, 1e4, 0.0], [1e4, 0.0, 0.0], [2.0, 2.0, 2.0]])[:, :k]
    leaf = student.detach().requires_grad_()
    found = losses.get(name)()(leaf, teacher, TARGET[:3] % k)
    found.backward()
    assert torch.isfinite(found) and torch.isfinite(leaf.grad).all() and found > 0


@pytest.mark.parametrize("name", losses.names())
def test_arguments_out_of_range(name):
    """The value is shown."""
    with pytest.raises(ValueError, match=r"-0\.5"):
        losses.get(name)(hard_weight=-0.5)
    temperature = {"temperatures": "2/-0.5"} if name == "mlkd" else {"temperature": -0.5}
    with pytest.raises(ValueError, match=r"temperature is -0\.5"):
        losses.get(name)(**temperature)


def test_temperatures_that_are_none():
    """The text is shown, and what to write."""
    with pytest.raises(ValueError, match=r"'2,3'\. Write numbers joined by /"):
        losses.get("mlkd")(temperatures="2,3")
