"""Small trainings for one process or several: run by torchrun as a script, and imported by the test beside it."""

import hashlib
import json
import sys
from functools import partial
from pathlib import Path

import torch
from torch import nn

from strop import models
from strop.data.load import Loader, MemoryPictures
from strop.data.parts import Parts
from strop.launch import ALONE
from strop.measure.evaluate import evaluate
from strop.models.classifier import Classifier, Preprocess
from strop.train.fit import fit
from strop.train.gradient import batch_gradient
from strop.train.losses import losses
from strop.train.objective import Supervised

CLASSES = ("a", "b", "c")


def pictures(n: int, side: int) -> MemoryPictures:
    generator = torch.Generator().manual_seed(3)
    images = torch.randint(0, 256, (n, 3, side, side), dtype=torch.uint8, generator=generator)
    return MemoryPictures(images, torch.arange(n) % 3)


def plain_net() -> nn.Module:
    """Neither batch norm nor dropout."""
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.MaxPool2d(3), nn.Flatten(), nn.Linear(32, 3))


def dropping_net() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Dropout(0.3), nn.Linear(192, 16), nn.ReLU(), nn.Linear(16, 3))


def resnet18() -> nn.Module:
    return models.build("resnet18", num_classes=3, in_chans=3, input_size=32)


# name: (network, pictures, side, batch, virtual ranks, accumulate). The last batches have 5 pictures (3 + 2), and 3,
# of which the second rank gets none.
CASES = {
    "uneven": (plain_net, 25, 8, 10, None, 1),
    "nothing-for-one": (plain_net, 23, 8, 10, None, 1),
    "accumulated": (plain_net, 25, 8, 10, None, 2),
    "dropout-virtual": (dropping_net, 23, 8, 10, 2, 2),
    "resnet18-virtual": (resnet18, 23, 32, 10, 2, 1),
}
UPDATES = {name: 9 if name.startswith("resnet") else 21 for name in CASES}  # 3 an epoch


def run_case(name: str, ranks=ALONE) -> tuple[dict[str, torch.Tensor], dict]:
    """Weights, buffers and momenta after the updates of a case, and what can be said in JSON."""
    make_net, n, side, batch_size, virtual, accumulate = CASES[name]
    torch.manual_seed(7)
    model = Classifier(make_net(), Preprocess(side, 3, (0.5,) * 3, (0.3,) * 3), CLASSES)
    weights = torch.tensor([0.2, 1.0, 3.5])
    objective = Supervised(model, losses.get("cross-entropy")(), class_weights=weights)
    held = (virtual or ranks.size) // ranks.size
    parts = Parts(virtual or ranks.size, accumulate, ranks.rank * held, held, in_pairs=bool(virtual))
    loader = Loader(pictures(n, side), batch_size=batch_size, seed=5, parts=parts)
    optimizer = torch.optim.SGD(objective.parameters(), lr=0.05, momentum=0.9, weight_decay=1e-3)
    gradient = partial(batch_gradient, ranks=ranks)
    *_, last = fit(
        objective, loader, optimizer, epochs=UPDATES[name] // 3, schedule=lambda t: 1 - t, seed=2, gradient=gradient
    )
    momenta = {f"momentum.{name}": optimizer.state[p]["momentum_buffer"] for name, p in objective.named_parameters()}
    model.eval()
    measured = evaluate(model, Loader(pictures(101, side), batch_size=8, seed=0, shuffle=False), CLASSES, ranks=ranks)
    about = {"measured": measured, "sums": {name: part.tolist() for name, part in last.sums.items()}}
    return objective.state_dict() | momenta, about


def digest(tensors: dict[str, torch.Tensor]) -> str:
    total = hashlib.sha256()
    for name in sorted(tensors):
        total.update(name.encode() + tensors[name].detach().contiguous().numpy().tobytes())
    return total.hexdigest()


if __name__ == "__main__":
    from safetensors.torch import save_file

    from strop.train.distributed import join

    out = Path(sys.argv[1])
    ranks = join(device="cpu", timeout=60)
    for name in CASES:
        tensors, about = run_case(name, ranks)
        (out / f"{name}-{ranks.rank}.json").write_text(json.dumps(about | {"digest": digest(tensors)}))
        if ranks.rank == 0:
            save_file({key: tensor.contiguous() for key, tensor in tensors.items()}, out / f"{name}.safetensors")
