"""A teacher's answers kept on disk: the same training, asked once, refused where pictures change, safe when killed."""

import numpy as np
import pytest
import torch

from strop import artifact
from strop.augment import compose
from strop.data.dataset import open_data
from strop.data.load import Loader, pictures
from strop.distill import losses as distillation
from strop.distill.objective import Distilled
from strop.models.classifier import Classifier
from strop.runs import Run
from strop.steps import answers
from strop.steps.answers import Answers, keep_answers, with_answers
from strop.steps.train import Train
from strop.train.losses import losses
from strop.train.objective import Supervised

PLAIN = ("--augment", "none", "--epochs", 2, "--validation", "20%", "--batch-size", 32, "--lr", 0.01)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """A cache of the test's own."""
    monkeypatch.setenv("STROP_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "pictures"


@pytest.fixture(scope="module")
def seen(shapes):
    """The training pictures as a student of 24 px sees them."""
    return pictures(open_data(str(shapes), seed=0), "train", size=24, channels=1)


def teacher_of(trained):
    return artifact.load(Run(trained / "runs" / "small"))


def keep(teacher, seen, **changes):
    options = Train.model_validate(
        {"data": "d", "model": "cnn2", "teacher": "t", "augment": "none", "cache_teacher": True} | changes
    )
    return keep_answers(teacher, seen, options, device="cpu", precision="fp32")


def test_they_are_the_teachers_answers(trained, seen, cache):
    """To every picture, up to rounding (batches of another size): 1e-5 of the logits' size in float32."""
    teacher = teacher_of(trained)
    kept = keep(teacher, seen)
    assert isinstance(kept, Answers) and kept.logits.shape == (len(seen), 4)
    with torch.no_grad():
        wanted = torch.cat([teacher(seen.batch(part)) for part in torch.arange(len(seen)).split(7)]).numpy()
    assert np.abs(kept.logits - wanted).max() <= 1e-5 * np.abs(wanted).max()


def test_asked_once(trained, seen, cache, monkeypatch):
    """A second time the file is mapped and the teacher not called; other weights, and other pictures, ask anew."""
    calls = []
    forward = Classifier.forward
    monkeypatch.setattr(Classifier, "forward", lambda self, images: calls.append(len(images)) or forward(self, images))
    teacher = teacher_of(trained)
    calls.clear()  # loading verifies its golden output
    first = keep(teacher, seen)
    assert sum(calls) == len(seen)
    calls.clear()
    assert np.array_equal(keep(teacher_of(trained), seen).logits, first.logits) and sum(calls) == 2  # the golden ones
    teacher.net.fc.bias.data += 1
    calls.clear()
    torch.testing.assert_close(torch.tensor(keep(teacher, seen).logits), torch.tensor(first.logits + 1))
    assert sum(calls) == len(seen) and len([*cache.glob("*.pixels")]) == 2


def test_each_batch_brings_its_own(seen):
    """In the loader's order: class, then the row of each picture."""
    table = np.arange(4 * len(seen), dtype=np.float32).reshape(-1, 4)
    loader = Loader(seen, batch_size=32, seed=3, augment=compose([]))
    taught = with_answers(loader, Answers(table))
    assert len(taught) == len(loader) and taught.cut(0) == loader.cut(0) and with_answers(loader, None) is loader
    for plain, batch in zip(loader.epoch(1, 2), taught.epoch(1, 2), strict=True):
        assert torch.equal(batch.images, plain.images) and torch.equal(batch.targets[:, 0].long(), plain.targets)
        assert torch.equal(batch.targets[:, 1:], torch.tensor(table[plain.indices.numpy()]))


def test_the_loss_is_that_of_asking(trained, seen):
    """Total, weight and parts, as with the teacher itself; blank targets, of which memory is tried out, work."""
    teacher = teacher_of(trained)
    images, target = seen.batch(torch.arange(8)), seen.labels[:8]

    def objective(teacher):
        student = teacher_of(trained)
        student.net.fc.bias.data += torch.tensor([1.0, 0, 0, 0])
        supervised = Supervised(student, losses.get("cross-entropy")())
        made = Distilled(supervised, teacher, distillation.get("kd")())
        made.mode(train=False)
        return made

    wanted = objective(teacher)(images, target)
    with torch.no_grad():
        taught = torch.cat([target[:, None].float(), teacher(images)], 1)
    found = objective(None)(images, taught)
    assert found.weight == wanted.weight and found.parts.keys() == wanted.parts.keys()
    torch.testing.assert_close([*found.parts.values(), found.total], [*wanted.parts.values(), wanted.total])
    assert torch.isfinite(objective(None)(images, target).total)


def test_the_same_training(trained, shapes, strop_in, cache):
    """With and without the cache: scores alike, weights within rounding; by command, and resumed it is done already."""
    for name, more in (("asked", ()), ("kept", ("--cache-teacher",))):
        words = ("train", shapes, "--model", "cnn2", "--teacher", "runs/small", "--id", name, *PLAIN, *more)
        outcome = strop_in(trained, *words, "--precision", "fp32")
        assert outcome.code == 0, outcome.err
    assert "the teacher's answers to 192 pictures are kept" in outcome.out
    asked, kept = (artifact.load(Run(trained / "runs" / name)).net.state_dict() for name in ("asked", "kept"))
    for name, tensor in asked.items():
        torch.testing.assert_close(kept[name], tensor, rtol=1e-3, atol=1e-4)
    lines = [Run(trained / "runs" / name).metrics()[-1]["train"]["loss"] for name in ("asked", "kept")]
    assert lines[1] == pytest.approx(lines[0], rel=1e-4)


def test_killed_in_the_middle(trained, seen, cache, monkeypatch):
    """What was begun is never used: the next time all is computed, and no draft stays."""
    teacher = teacher_of(trained)
    monkeypatch.setattr(answers, "evaluation_loader", lambda shown: Loader(shown, batch_size=50, seed=0, shuffle=False))
    forward, calls = Classifier.forward, []

    def stops(self, images):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return forward(self, images)

    monkeypatch.setattr(Classifier, "forward", stops)
    with pytest.raises(KeyboardInterrupt):
        keep(teacher, seen)
    assert [*cache.iterdir()] == []
    assert keep(teacher, seen).logits.shape == (len(seen), 4)


def test_where_nothing_can_be_kept(trained, seen, cache, caplog):
    """No room: the teacher is asked as before, and it is said."""
    teacher = teacher_of(trained)
    assert keep(teacher, seen, cache_gb=0.0) is teacher
    assert "answers can't be kept" in caplog.text and "it is asked in every epoch" in caplog.text


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "pictures look different in each epoch, so the teacher's answers to them do too. Write augment: none"),
        (("--augment", "none", "--crop-scale", 0.5), "Write no crop_scale, or leave cache_teacher out."),
        (("--augment", "none", "--distill", "kd+hint"), "keeps answers, not maps."),
    ],
)
def test_where_pictures_change(trained, shapes, strop_in, words, said):
    """Refused with what to write."""
    start = ("train", shapes, "--model", "cnn2", "--teacher", "runs/small", "--cache-teacher", "--id", "wrong")
    outcome = strop_in(trained, *start, *words)
    assert outcome.code == 2 and said in outcome.err.replace("\n", " ")
    outcome = strop_in(trained, "train", shapes, "--model", "cnn2", "--cache-teacher", "--augment", "none")
    assert outcome.code == 2 and "there is no teacher" in outcome.err
