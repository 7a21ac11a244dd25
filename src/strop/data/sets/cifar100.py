"""CIFAR-100: 50,000 training and 10,000 test photographs, 32 x 32, a hundred classes.

Source: Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009.
"""

from ..cifar import Cifar, open_cifar
from ..facts import Facts
from ..source import Source
from . import sets

FACTS = Facts(100, 3, 32, 50_000, test=10_000)
CLASSES = """
    apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly camel can castle
    caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur dolphin elephant
    flatfish forest fox girl hamster house kangaroo keyboard lamp lawn_mower leopard lion lizard lobster man maple_tree
    motorcycle mountain mouse mushroom oak_tree orange orchid otter palm_tree pear pickup_truck pine_tree plain plate
    poppy porcupine possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk skyscraper snail snake spider
    squirrel streetcar sunflower sweet_pepper table tank telephone television tiger tractor train trout tulip turtle
    wardrobe whale willow_tree wolf woman worm
"""

CIFAR100 = Cifar(
    name="cifar100",
    classes=tuple(CLASSES.split()),
    binary="cifar-100-binary",
    python="cifar-100-python",
    train=("train",),
    test="test",
    label_bytes=2,
    label_key="fine_labels",
    archive="cifar-100-binary.tar.gz",
    md5="03b5dce01913d631647c71ecec9e9cb8",
    torchvision="CIFAR100",
)


@sets.add("cifar100")
def cifar100() -> Source:
    """All of CIFAR-100 with its fine labels; looked for in $STROP_DATA and ./data, else downloaded."""
    return open_cifar(CIFAR100)
