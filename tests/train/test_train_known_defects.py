"""The defects of the training code and the reports that strop grew from, each with a test that it is not here.

The numbers are those of the list of defects in the published experiments ([004] SqueezeNet and ShuffleNet on flowers,
[003] ResNet-50 on a part of ImageNet, and the reports [000] to [002]). What a training loop can't have (figures, file
names, axes of plots) is tested where it belongs.
"""

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import strop
from strop.data.load import Loader, MemoryPictures
from strop.errors import UserError
from strop.flags import read_step
from strop.measure.evaluate import evaluate
from strop.measure.metrics import running, score
from strop.models.classifier import Classifier, Preprocess
from strop.models.freezing import freeze
from strop.runs import Run
from strop.steps.training import Training
from strop.train.fit import fit
from strop.train.losses import losses
from strop.train.objective import Supervised
from strop.train.optim import make_optimizer, make_schedule
from strop.train.precision import resolve_device

CONSTANT = make_schedule("constant")


def still(objective):
    """An optimizer that moves nothing, so that figures can be measured again."""
    return torch.optim.SGD(objective.parameters(), lr=0.0)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A finished run on 17 training pictures in batches of 8, with random crops; and the Training that made it."""
    root, rng = tmp_path_factory.mktemp("defects"), np.random.default_rng(0)
    for split, count in (("train", 17), ("val", 9), ("test", 6)):
        for number in range(count):
            folder = root / "data" / split / "abc"[number % 3]
            folder.mkdir(parents=True, exist_ok=True)
            pixels = rng.integers(0, 256, (20, 20), dtype=np.uint8) // 2 + 40 * (number % 3)
            Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{number}.png")
    kept, finish = [], Training._finish

    def keep(self):
        kept.append(self)
        return finish(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Training, "_finish", keep)
        step = strop.Train(
            data=root / "data", model="cnn2", epochs=3, batch_size=8, lr=0.02, crop_scale=0.5, out=str(root / "run")
        )
        run = step.execute()
    return run, kept[0]


# [004] 1: loss divided by the index of the last step


@pytest.mark.parametrize(("pictures", "batch_size"), [(22, 8), (5, 8), (8, 8)])
def test_the_loss_of_an_epoch_is_the_mean_over_its_pictures(make_objective, make_loader, pictures, batch_size):
    """Uneven last batches weigh what they hold, and a single batch is no division by zero."""
    objective = make_objective(dropout=0.0, smoothing=0.0)
    loader = make_loader(augment=(), n=pictures, batch_size=batch_size)
    (end,) = fit(objective, loader, still(objective), epochs=1, schedule=CONSTANT)
    objective.student.train()
    losses_of_pictures = [
        nn.functional.cross_entropy(objective.student(b.images), b.targets, reduction="none") for b in loader.epoch(0)
    ]
    expected = torch.cat(losses_of_pictures).mean().item()
    assert running(end.sums)["loss"] == pytest.approx(expected, rel=1e-5)
    assert end.sums["seen"].sum() == pictures


def test_the_validation_loss_is_the_mean_over_its_pictures():
    """364 pictures in batches of 256, as many as the flowers' validation has: no 9.1 % too much."""
    torch.manual_seed(0)
    logits, labels = torch.randn(364, 3), torch.arange(364) % 3
    pictures = MemoryPictures(torch.arange(364).view(-1, 1, 1, 1).expand(-1, 1, 2, 2).contiguous(), labels)
    found = evaluate(lambda x: logits[x[:, 0, 0, 0]], Loader(pictures, batch_size=256, seed=0, shuffle=False), "abc")
    assert found["loss"] == pytest.approx(nn.functional.cross_entropy(logits, labels).item(), rel=1e-6)
    assert found["n"] == 364


# [004] 2: evaluation on random crops, flipped and shuffled


def test_no_random_crops_in_evaluation(trained):
    """Training pictures are cropped and augmented; validation gives the same pixels in the same order each time."""
    _, training = trained
    assert training.train_loader.pictures.crop is not None and training.train_loader.augment is not None
    loader = training.val_loader
    assert loader.pictures.crop is None and loader.augment is None and not loader.shuffle
    first, later = (torch.cat([batch.images for batch in loader.epoch(epoch)]) for epoch in (0, 7))
    assert torch.equal(first, later)
    assert torch.cat([b.indices for b in loader.epoch(7)]).tolist() == list(range(9))


# [004] 3, [003] 20: no validation while training, the last epoch only, the test set chooses the epoch


def test_validation_every_epoch_chooses_and_best_and_last_are_kept(trained):
    """By the validation pictures; the test pictures are not opened by a training at all."""
    run, _ = trained
    lines = list(run.metrics())
    assert [line["epoch"] for line in lines] == [1, 2, 3] and all(line["val"] for line in lines)
    best, last = run.result["measured"]
    assert (best["checkpoint"], last["checkpoint"]) == ("best", "last") and best["split"] == last["split"] == "val"
    ranked = max(lines, key=lambda line: (line["val"]["accuracy"], -line["val"]["loss"]))
    assert run.result["training"]["best_epoch"] == ranked["epoch"]
    assert best["accuracy"] == ranked["val"]["accuracy"] and last["accuracy"] == lines[-1]["val"]["accuracy"]


# [004] 4: --cuda False is true


@pytest.mark.parametrize(("written", "meant"), [("false", False), ("true", True)])
def test_one_spelling_of_a_boolean(written, meant):
    """--pretrained takes true and false as words; everything else boolean is a flag without a value."""
    given = {"data": "fashion-mini", "model": "resnet18", "pretrained": written}
    assert read_step("train", given, []).pretrained is meant
    with pytest.raises(UserError, match="--tensorboard: 'nope' is neither true nor false"):
        read_step("train", {"data": "fashion-mini", "model": "cnn2", "tensorboard": "nope"}, [])


# [004] 5: a checkpoint that does not say what network it is for


def test_a_model_loads_without_being_told_what_it_is(trained):
    run, training = trained
    net = strop.load(run.folder)
    assert type(net.net) is type(training.model.net) and net.classes == ("a", "b", "c")


# [004] 6: confusion as [predicted, true]


def test_rows_of_the_confusion_are_the_true_classes():
    """Three pictures of class 0, of which two are called 1."""
    pictures = MemoryPictures(torch.tensor([0, 1, 1]).view(-1, 1, 1, 1), torch.tensor([0, 0, 0]))
    loader = Loader(pictures, batch_size=2, seed=0, shuffle=False)
    found = evaluate(lambda x: torch.eye(2)[x[:, 0, 0, 0]], loader, ["a", "b"])
    assert found["confusion"] == [[1, 2], [0, 0]]


# [004] 8, [003] 20: `module.` before the names, files that only a GPU can read


def test_no_module_prefix(trained):
    """Names are those of the network itself, best and last; loading is strict, on the CPU."""
    run, training = trained
    from safetensors.torch import load_file

    names = list(training.model.net.state_dict())
    for file in ("model.safetensors", "checkpoints/last.safetensors"):
        tensors = load_file(run.folder / file)
        assert sorted(tensors) == sorted(names) and all(tensor.device.type == "cpu" for tensor in tensors.values())
        training.model.net.load_state_dict(tensors, strict=True)


# [004] 9: .cuda() without asking


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_machine_without_a_gpu():
    assert resolve_device("auto") == "cpu"
    with pytest.raises(UserError, match="torch finds no GPU here"):
        resolve_device("cuda")


# [004] 10: strict=False hides what is missing


def test_tensors_that_are_missing_are_listed(trained, tmp_path):
    run, _ = trained
    from safetensors.torch import load_file, save_file

    tensors = load_file(run.folder / "model.safetensors")
    del tensors["features.0.0.weight"]
    save_file(tensors, tmp_path / "half.safetensors")
    from strop.models import build

    with pytest.raises(UserError, match=r"'features.0.0.weight' is missing in the file"):
        build("cnn2", num_classes=3, in_chans=1, input_size=20, pretrained=tmp_path / "half.safetensors")


# [004] 11, [003] 26: frozen parameters in the optimizer, batch norms that move in a frozen backbone


def test_what_is_frozen_stays(make_loader):
    """Not in the optimizer, no gradient, no decay, and the statistics of its batch norms are the same bits."""
    torch.manual_seed(0)
    from strop.models import build

    net = build("cnn3", num_classes=3, in_chans=1, input_size=8)
    model = Classifier(net, Preprocess(8, 1, (0.5,), (0.25,)), ("a", "b", "c"))
    freeze(net, 3, ("all-but-head",))
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    optimizer = make_optimizer(net, "sgd", lr=0.1, weight_decay=0.1)
    trained = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
    assert trained == {id(parameter) for parameter in net.fc.parameters()}
    objective = Supervised(model, losses.get("cross-entropy")())
    for _ in fit(objective, make_loader(), optimizer, epochs=1, schedule=CONSTANT):
        pass
    moved = {name for name, tensor in net.state_dict().items() if not torch.equal(tensor, before[name])}
    assert moved == {"fc.weight", "fc.bias"}


# [004] 17: no seed


def test_the_same_seed_gives_the_same_weights(make_objective, make_loader):
    """Whatever was drawn before, and another seed gives others."""
    ends = []
    for seed, drawn in ((1, 0), (1, 5), (2, 0)):
        objective = make_objective()
        torch.rand(drawn)
        for _ in fit(objective, make_loader(), make_optimizer(objective, "sgd", lr=0.05, weight_decay=0.0), epochs=2,
                     schedule=CONSTANT, seed=seed):  # fmt: skip
            pass
        ends.append(objective.student.net[6].weight.detach().clone())
    assert torch.equal(ends[0], ends[1]) and not torch.equal(ends[0], ends[2])


# [004] 18: a last batch of one picture, a class that is absent


def test_a_last_batch_of_one_picture(trained, make_objective, make_loader):
    """17 in batches of 8: the last one joins the batch before in training; in evaluation it is one of its own."""
    run, training = trained
    assert [len(batch.targets) for batch in training.train_loader.epoch(0)] == [8, 9]
    assert len(training.losses) == 3 and all(np.isfinite(training.losses))
    objective = make_objective()
    pictures = make_loader(n=9).pictures
    single = Loader(pictures, batch_size=8, seed=0, shuffle=False)
    objective.mode(train=False)
    assert evaluate(objective.student, single, ("a", "b", "c"))["n"] == 9
    (end,) = fit(objective, make_loader(n=1), still(objective.eval()), epochs=1, schedule=CONSTANT)
    assert end.sums["seen"].sum() == 1, "one picture in all: batch norm over its pixels can still be computed"


def test_a_class_that_is_absent():
    """Its recall is 0 in the scores of a test and left out of the running mean; nothing is divided by zero."""
    scores = score(np.array([[3, 1, 0], [0, 0, 0], [0, 0, 2]]), ["a", "b", "c"])
    assert scores["per_class"][1]["recall"] == 0 and scores["per_class"][1]["support"] == 0
    sums = {"loss": torch.tensor(1.0), "hits": torch.tensor([3, 0, 2]), "seen": torch.tensor([4, 0, 2])}
    assert running(sums)["recall"] == pytest.approx((3 / 4 + 1) / 2)


# [003] 20: a model that stays in eval mode after validation


def test_back_in_training_mode_after_validation(make_objective, make_loader):
    """Whatever the caller did to the model when the loop gave it control, the next update is in training mode."""
    objective, modes = make_objective(), []
    objective.student.net[5].register_forward_hook(lambda module, *_: modes.append(module.training))
    loop = fit(objective, make_loader(), still(objective), epochs=2, schedule=CONSTANT, save_now=lambda: True)
    for _ in loop:
        objective.mode(train=False)
    assert modes == [True] * 6


def test_validation_leaves_no_trace(trained):
    """Evaluating moves no statistic of a batch norm, and keeps no graph."""
    _, training = trained
    before = {name: tensor.clone() for name, tensor in training.model.net.state_dict().items()}
    graphs = []

    def predict(images):
        training.objective.mode(train=False)
        logits = training.model(images)
        graphs.append(logits.requires_grad)
        return logits

    evaluate(predict, training.val_loader, training.model.classes)
    assert all(torch.equal(tensor, before[name]) for name, tensor in training.model.net.state_dict().items())
    assert graphs and not any(graphs)


# [000] 21: "accuracy" that is macro precision


def test_accuracy_is_not_macro_precision():
    """8 of 10 and 1 of 2: accuracy 9/12; precision (8/9 + 1/3) / 2."""
    scores = score(np.array([[8, 2], [1, 1]]), ["a", "b"])
    assert scores["accuracy"] == 9 / 12
    assert scores["macro_precision"] == pytest.approx((8 / 9 + 1 / 3) / 2)


# [002] 27, [002] 28: minimum and final loss of single steps; "overfitting" without a gap that was measured


def test_losses_are_those_of_epochs_and_both_sides_are_logged(trained):
    run, _ = trained
    lines = list(Run(run.folder).metrics())
    shown = [line["train"]["loss"] for line in lines]
    training = run.result["training"]
    assert training["min_loss"] == pytest.approx(min(shown), abs=1e-5)
    assert training["final_loss"] == pytest.approx(shown[-1], abs=1e-5)
    for line in lines:
        assert {"loss", "accuracy", "recall"} <= line["train"].keys() & line["val"].keys()
