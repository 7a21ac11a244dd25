"""CIFAR-10: 50,000 training and 10,000 test photographs, 32 x 32, ten classes.

Source: Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009.
"""

from ..cifar import Cifar, open_cifar
from ..facts import Facts
from ..source import Source
from . import sets

FACTS = Facts(10, 3, 32, 50_000, test=10_000)
CIFAR10 = Cifar(
    name="cifar10",
    classes=("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
    binary="cifar-10-batches-bin",
    python="cifar-10-batches-py",
    train=tuple(f"data_batch_{i}" for i in range(1, 6)),
    test="test_batch",
    label_bytes=1,
    label_key="labels",
    archive="cifar-10-binary.tar.gz",
    md5="c32a1d4ab5d03f1284b67883e8d87530",
    torchvision="CIFAR10",
)


@sets.add("cifar10")
def cifar10() -> Source:
    """All of CIFAR-10; looked for in $STROP_DATA and ./data, else the binary version is downloaded."""
    return open_cifar(CIFAR10)
