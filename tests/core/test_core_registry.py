"""The folder is the registry: parts are found, checked and used by one file that says its own name."""

import textwrap

import pytest
from pydantic import TypeAdapter, ValidationError

from strop.config import Part, part_of
from strop.errors import UserError
from strop.registry import REQUIRED, Registry
from strop.train.losses import losses

MINE = '''
from strop.train.losses import losses


@losses.add("power")
def make(*, order: float, shift: int = 0, name: str | None = None, on: bool = False):
    """Distance to the power of an order."""
    return lambda logits: abs(logits + shift) ** order


def helper(*, other: int = 3):
    """Not a part: it says no name."""
'''


@pytest.fixture
def added(tmp_path, monkeypatch):
    """A folder of one's own, searched beside the package's."""
    (tmp_path / "mine.py").write_text(MINE)
    monkeypatch.setattr(losses, "path", [*losses.path, str(tmp_path)])
    monkeypatch.setattr(losses, "_loaded", dict(losses._loaded))
    return tmp_path


def write(folder, file: str, text: str):
    (folder / file).write_text(textwrap.dedent(text))
    return Registry("thing", "things", [str(folder)])


def test_listing_imports_neither_the_part_nor_torch(python):
    """Names, options and defaults are read from the source."""
    said = python(
        "import sys\n"
        "from strop.distill import losses\n"
        "entry = losses.entries()['kd']\n"
        "print(list(entry.options), entry.options['temperature'].type, entry.summary)\n"
        "print([m for m in ('torch', 'numpy', 'strop.distill.kd') if m in sys.modules])"
    )
    assert said.splitlines() == [
        "['temperature', 'standardize', 'weight', 'hard_weight'] float Match the teacher's softened distribution.",
        "[]",
    ]


def test_a_file_dropped_into_a_folder_is_a_part(added):
    """It is listed with its options, checked by the config, and usable; nothing else was touched."""
    entry = losses.entries()["power"]
    assert entry.file == added / "mine.py" and entry.summary == "Distance to the power of an order."
    assert {name: (option.type, option.default) for name, option in entry.options.items()} == {
        "order": ("float", REQUIRED),
        "shift": ("int", 0),
        "name": ("str | None", None),
        "on": ("bool", False),
    }
    assert {"power", "cross-entropy"} <= set(losses.names()) and "helper" not in losses.names()
    part = TypeAdapter(part_of(losses)).validate_python("power:order=2,shift=1")
    assert part == Part(name="power", options={"order": 2.0, "shift": 1, "name": None, "on": False})
    assert losses.get(part.name)(**part.options)(-4) == 9.0


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("power", "power.order: is missing."),
        ("power:ordr=2", "power.ordr: unknown option. Did you mean 'order'? Known: name, on, order, shift."),
        ("power:order=high", "power.order: 'high' is not a value of type float."),
        ({"power": {"order": 2, "shift": 1.5}}, "power.shift: 1.5 is not a value of type int."),
        ({"power": {"order": True}}, "power.order: True is not a value of type float."),
        ({"power": {"order": 2, "on": 1}}, "power.on: 1 is not a value of type bool."),
        ("power:order", "'power:order' is not readable. Write a name, name:option=value"),
        ({"power": 3}, "is not readable."),
        (["power"], "is not readable."),
    ],
)
def test_its_options_are_checked(added, written, said):
    """Unknown, missing and wrongly typed options are refused by the signature alone."""
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(part_of(losses)).validate_python(written)
    assert said in str(caught.value)


def test_text_and_yaml_give_the_same_part(added):
    """`name:option=value`, `{name: {option: value}}` and the part itself are one and the same."""
    adapter = TypeAdapter(part_of(losses))
    text = adapter.validate_python("power:order=1e-3, shift=-2, on=true, name=none")
    assert text == adapter.validate_python({"power": {"order": 1e-3, "shift": -2, "on": True, "name": None}})
    assert adapter.validate_python(text) is text


def test_values_are_never_evaluated(added):
    """An option's text is a literal or it is refused."""
    with pytest.raises(ValidationError, match="is not a value of type float"):
        TypeAdapter(part_of(losses)).validate_python("power:order=__import__('os').getpid()")


def test_no_part_where_that_is_allowed():
    """null and "none" are no part for an optional field, and a mistake elsewhere."""
    optional = TypeAdapter(part_of(losses, optional=True))
    assert optional.validate_python(None) is None and optional.validate_python("none") is None
    for value in (None, "none"):
        with pytest.raises(ValidationError):
            TypeAdapter(part_of(losses)).validate_python(value)


def test_duplicate_names_are_refused(tmp_path):
    """Two files with one name: both are named, and neither is picked."""
    part = '@things.add("one")\ndef one():\n    """One."""\n'
    write(tmp_path, "a.py", part)
    registry = write(tmp_path, "b.py", part)
    with pytest.raises(RuntimeError, match=r"thing 'one' is defined twice: .*a\.py, .*b\.py"):
        registry.names()


def test_an_unknown_name_gets_a_suggestion():
    """The message says what kind of part is unknown and which name is near."""
    with pytest.raises(UserError) as caught:
        losses.get("cross-entropi")
    assert str(caught.value).startswith("loss: 'cross-entropi' is unknown. Did you mean 'cross-entropy'? Known: ")
    with pytest.raises(ValidationError, match="'cross-entropi' is not a known loss. Did you mean 'cross-entropy'"):
        TypeAdapter(part_of(losses)).validate_python("cross-entropi")


def test_options_of_a_class_are_those_of_its_init(tmp_path):
    """Of a class all parameters but self; of a function the keyword-only ones."""
    registry = write(
        tmp_path,
        "parts.py",
        '''
        @things.add("klass")
        class Klass:
            """A class."""

            def __init__(self, a, b: int = 1, *, c: tuple = (1, 2)):
                pass

        @things.add("plain")
        class Plain:
            """No options."""

        @things.add("function")
        def function(images, chance=None, *, p: float = -0.5):
            """A function."""
        ''',
    )
    found = {
        name: {option.name: option.default for option in entry.options.values()}
        for name, entry in registry.entries().items()
    }
    assert found == {"klass": {"a": REQUIRED, "b": 1, "c": (1, 2)}, "plain": {}, "function": {"p": -0.5}}
