"""The set that comes with strop: 5,000 training and 1,000 test pictures of Fashion-MNIST."""

from pathlib import Path

from ..facts import Facts
from ..source import Source
from . import sets
from .fashion_mnist import read_fashion

FACTS = Facts(10, 1, 28, 5_000, test=1_000)
BUNDLED = Path(__file__).parent.parent / "bundled" / "fashion_mini"


@sets.add("fashion-mini")
def fashion_mini() -> Source:
    """500 training and 100 test pictures a class of Fashion-MNIST, 28 x 28 grey; works offline."""
    return read_fashion("fashion-mini", BUNDLED)
