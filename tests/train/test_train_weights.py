"""Class weights: their formulas, how they are written, and how they enter the loss."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from strop.errors import UserError
from strop.train.losses import losses
from strop.train.objective import Supervised
from strop.train.weights import check_class_weights, class_weights, read_class_weights

CLASSES = ("cat", "dog", "eel")


def test_balanced_is_that_of_scikit_learn():
    """sklearn.utils.class_weight: n_samples / (n_classes * bincount(y))."""
    from sklearn.utils.class_weight import compute_class_weight

    labels = [0] * 30 + [1] * 10 + [2] * 2
    expected = compute_class_weight("balanced", classes=np.arange(3), y=labels)
    assert class_weights("balanced", CLASSES, [30, 10, 2]) == pytest.approx(list(expected))


def test_effective_by_hand():
    """(1 - beta) / (1 - beta**n), scaled to add up to K; for few pictures close to balanced."""
    raw = [(1 - 0.999) / (1 - 0.999**n) for n in (5000, 100, 10)]
    expected = [3 * w / sum(raw) for w in raw]
    assert class_weights("effective", CLASSES, [5000, 100, 10]) == pytest.approx(expected)
    few = class_weights("effective", CLASSES, [4, 2, 1])
    assert few[2] / few[0] == pytest.approx(4, rel=0.01)


def test_a_class_without_pictures_changes_nothing():
    assert class_weights("balanced", CLASSES, [30, 0, 10]) == pytest.approx([40 / 60, 1.0, 40 / 20])
    assert class_weights("effective", CLASSES, [7, 0, 7]) == pytest.approx([1.0, 1.0, 1.0])


def test_a_table_and_none():
    assert class_weights({"dog": 2.5}, CLASSES, [1, 1, 1]) == [1.0, 2.5, 1.0]
    assert class_weights("none", CLASSES, [1, 2, 3]) is None


def test_how_they_are_written():
    """A class name may hold an equals sign; the last one counts."""
    assert read_class_weights("cat=2,a=b=0.5") == read_class_weights({"cat": 2, "a=b": 0.5}) == {"cat": 2.0, "a=b": 0.5}
    assert read_class_weights("balanced") == "balanced"
    for wrong, shown in (("balance", "'balance'"), ("cat=0", "'0'"), ({"cat": -1}, "-1"), ({"cat": True}, "True")):
        with pytest.raises(ValueError, match=shown):
            read_class_weights(wrong)
    with pytest.raises(UserError, match="'dgo' is no class. Did you mean 'dog'"):
        check_class_weights({"dgo": 2.0}, CLASSES)


@pytest.mark.parametrize("name", losses.names())
def test_the_weighted_mean_is_exact(name):
    """total / weight = sum w loss / sum w; sums over pieces of a batch add up to that of the whole, but for ohem."""
    torch.manual_seed(0)
    weights = torch.tensor([1.0, 5.0, 0.2])
    loss = losses.get(name)()
    objective = Supervised(nn.Identity(), loss, class_weights=weights)
    logits, target = torch.randn(9, 3), torch.arange(9) % 3
    whole = objective(logits, target)
    expected = (weights[target] * loss(logits, target)).sum() / weights[target].sum()
    torch.testing.assert_close(whole.total / whole.weight, expected)
    assert whole.weight == pytest.approx(3 * 6.2) and whole.parts["seen"].sum() == 9
    assert whole.parts["loss"].item() == pytest.approx(F.cross_entropy(logits, target, reduction="sum").item())
    pieces = [objective(logits[cut], target[cut]) for cut in (slice(0, 4), slice(4, 9))]
    assert sum(piece.weight for piece in pieces) == pytest.approx(whole.weight)
    if name != "ohem":
        torch.testing.assert_close(sum(piece.total for piece in pieces), whole.total)


def test_cross_entropy_with_weights_is_that_of_torch():
    """F.cross_entropy(weight=...) divides by the sum of the weights as well."""
    weights = torch.tensor([1.0, 5.0, 0.2])
    logits, target = torch.randn(9, 3, generator=torch.Generator().manual_seed(1)), torch.arange(9) % 3
    loss = Supervised(nn.Identity(), losses.get("cross-entropy")(), class_weights=weights)(logits, target)
    torch.testing.assert_close(loss.total / loss.weight, F.cross_entropy(logits, target, weight=weights))


def test_shares_of_classes_share_their_weights():
    """A picture that is 0.25 cat and 0.75 dog weighs 0.25 * 1 + 0.75 * 5."""
    objective = Supervised(nn.Identity(), losses.get("bce")(), class_weights=torch.tensor([1.0, 5.0, 0.2]))
    assert objective(torch.zeros(1, 3), torch.tensor([[0.25, 0.75, 0.0]])).weight == pytest.approx(4.0)
    assert "class_weights" not in objective.state_dict()
