"""What every part of every registry keeps to, present and future."""

import ast
import importlib
import inspect
import re
from pathlib import Path

import pytest
import torch

import strop
from strop import Prune
from strop.config import Budget, _convert
from strop.errors import UserError
from strop.models import build
from strop.prune.prune import prune
from strop.registry import REQUIRED, Registry
from strop.steps.objective import make_part
from strop.steps.train import Train

ROOT = Path(strop.__file__).parent


def find_registries() -> dict[str, Registry]:
    """Every module-level `name = Registry(...)` of the package, by "module.name"."""
    found = {}
    for file in sorted(ROOT.rglob("*.py")):
        module = ".".join(["strop", *file.relative_to(ROOT).with_suffix("").parts]).removesuffix(".__init__")
        for node in ast.parse(file.read_text(encoding="utf-8")).body:
            match node:
                case ast.Assign(targets=[ast.Name(id=name)], value=ast.Call(func=ast.Name(id="Registry"))):
                    found[f"{module}.{name}"] = getattr(importlib.import_module(module), name)
    return found


def find_parts():
    return [
        pytest.param(registry, entry, id=f"{registry.kind}-{entry.name}")
        for registry in REGISTRIES.values()
        for entry in registry.entries().values()
    ]


REGISTRIES = find_registries()
PARTS = find_parts()
every_part = pytest.mark.parametrize(("registry", "entry"), PARTS)


def test_all_registries_are_found():
    """The search finds those that DESIGN, section 2, names; one kind for each."""
    kinds = [registry.kind for registry in REGISTRIES.values()]
    assert len(set(kinds)) == len(kinds)
    assert {
        "loss",
        "distillation loss",
        "augmentation",
        "model",
        "data set",
        "regulariser",
        "pruning criterion",
    } <= set(kinds)
    assert all(registry.names() for registry in REGISTRIES.values())


@every_part
def test_imports_and_is_what_its_name_says(registry, entry):
    """The file imports, and the object is the one defined there under a plain name."""
    part = registry.get(entry.name)
    assert callable(part)
    assert Path(inspect.getsourcefile(part)).resolve() == entry.file.resolve()
    assert re.fullmatch(r"[a-z0-9]+([-_][a-z0-9]+)*", entry.name)
    assert entry.name != "none", "'none' means no part"


@every_part
def test_docstring_begins_with_a_sentence(registry, entry):
    """One line, a capital letter first, a full stop last; it is what listings show."""
    lines = inspect.getdoc(registry.get(entry.name)).splitlines()
    assert lines[0] == entry.summary
    assert re.fullmatch(r"[A-Z0-9].{8,118}\.", lines[0])
    assert len(lines) == 1 or lines[1] == ""


@every_part
def test_options_read_are_the_signature(registry, entry):
    """What `ast` reads without importing is what Python sees: names, order, defaults."""
    part = registry.get(entry.name)
    parameters = inspect.signature(part).parameters.values()
    if not inspect.isclass(part):
        parameters = [p for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY]
    seen = [(p.name, REQUIRED if p.default is inspect.Parameter.empty else p.default) for p in parameters]
    assert [(option.name, option.default) for option in entry.options.values()] == seen


@every_part
def test_options_are_typed_with_defaults_of_that_type(registry, entry):
    """Each option has an annotation that the command line can read; its default, and the default's text, fit it."""
    for option in entry.options.values():
        assert set(re.split(r"\s*\|\s*", option.type)) <= {"int", "float", "bool", "str", "None"}, option
        if option.default is not REQUIRED:
            assert type(_convert(option.default, option.type)) is type(option.default), option
            assert _convert(str(option.default), option.type) == option.default, option


@pytest.mark.parametrize(("registry", "entry"), [part for part in PARTS if part.values[0].kind != "model"])
def test_options_are_documented(registry, entry):
    """Each option has its line under Args; those of networks are documented at `models.build`."""
    doc = inspect.getdoc(registry.get(entry.name))
    for name in entry.options:
        assert re.search(rf"^\s+(\w+, )*{name}(, \w+)*: ", doc, re.MULTILINE), f"{name} is not under Args"


@pytest.mark.parametrize(
    "registry", [r for r in REGISTRIES.values() if "loss" in r.kind or r.kind in ("regulariser", "batch mixing")]
)
def test_objects_are_made_with_their_defaults(registry):
    """A loss, a regulariser or a mixing that requires no option is made without a word, and can be called."""
    for entry in registry.entries().values():
        if all(option.default is not REQUIRED for option in entry.options.values()):
            assert callable(registry.get(entry.name)()), entry.name


LARGEST = '''
"""Largest: one file, and nothing else is touched."""

import torch
from torch import Tensor

from ..channels import Channels
from . import criteria


@criteria.add("largest")
def largest(channels: Channels, generator: torch.Generator, *, power: float = 1.0) -> Tensor:
    """The largest weight of the filter that makes the channel.

    Args:
        power: exponent; > 0.
    Shape:
        Returns: (width,), no unit.
    """
    return channels.makers[0].abs().amax(1) ** power
'''


@pytest.fixture
def added(tmp_path, monkeypatch):
    """Write a file into a folder that the criteria are looked for in too; gives its part."""

    def add(source):
        (tmp_path / "largest.py").write_text(source, encoding="utf-8")
        registry = REGISTRIES["strop.prune.criteria.criteria"]
        monkeypatch.setattr(registry, "path", [*registry.path, str(tmp_path)])
        monkeypatch.setattr(registry, "_loaded", dict(registry._loaded))
        return next(part.values for part in find_parts() if part.id == "pruning criterion-largest")

    return add


CONTRACTS = (
    test_imports_and_is_what_its_name_says,
    test_docstring_begins_with_a_sentence,
    test_options_read_are_the_signature,
    test_options_are_typed_with_defaults_of_that_type,
    test_options_are_documented,
)


def test_a_criterion_is_one_file(added):
    """Dropped into a folder it is found, keeps the contracts, is checked like any other, and prunes a network."""
    registry, entry = added(LARGEST)
    for contract in CONTRACTS:
        contract(registry, entry)
    step = Prune(parent="runs/x", params="9%", criterion="largest:power=2")
    assert (step.criterion.name, step.criterion.options) == ("largest", {"power": 2.0})
    with pytest.raises(UserError, match="Did you mean 'power'"):
        Prune(parent="runs/x", params="9%", criterion="largest:powr=2")
    torch.manual_seed(0)
    net = build("cnn2", num_classes=3, input_size=16)
    with torch.no_grad():
        net.features[0][0].weight[5, 0, 0, 0] = 100.0
    prune(net, (3, 16, 16), kind="params", budget=Budget.read("20%"), criterion=registry.get("largest"))
    assert 100.0 in net.features[0][0].weight and net.features[0][0].out_channels < 16


@pytest.mark.parametrize(
    ("before", "after", "contract"),
    [
        ("        power: exponent; > 0.\n", "", test_options_are_documented),
        ("power: float = 1.0", "power: float = 1", test_options_are_typed_with_defaults_of_that_type),
        ("The largest weight", "the largest weight", test_docstring_begins_with_a_sentence),
    ],
)
def test_a_careless_file_breaks_a_contract(added, before, after, contract):
    """An option that nobody explains, one whose default is of another type, a summary that is no sentence."""
    assert before in LARGEST
    registry, entry = added(LARGEST.replace(before, after))
    with pytest.raises(AssertionError):
        contract(registry, entry)


def test_adding_a_loss_touches_one_file(tmp_path, monkeypatch):
    """The file of CONTRIBUTING.md, put into a folder that the registry searches: found, checked, held to the contract
    and trained with, while not a line elsewhere changed."""
    text = (ROOT.parents[1] / "CONTRIBUTING.md").read_text(encoding="utf-8")
    source = re.search(r"```python\n# src/strop/distill/cosine\.py\n(.*?)```", text, re.DOTALL)[1]
    (tmp_path / "cosine.py").write_text(source, encoding="utf-8")
    registry = REGISTRIES["strop.distill.losses"]
    monkeypatch.setattr(registry, "path", [*registry.path, str(tmp_path)])
    monkeypatch.setattr(registry, "_loaded", dict(registry._loaded))
    entry = registry.entries()["cosine"]
    assert entry.file == tmp_path / "cosine.py" and "cosine" in registry.names()
    for contract in CONTRACTS:
        contract(registry, entry)
    test_objects_are_made_with_their_defaults(registry)
    step = Train(data="d", model="cnn2", teacher="t", distill="cosine:weight=2")
    assert step.distill[0].options == {"weight": 2.0, "hard_weight": 1.0}
    with pytest.raises(UserError, match="wieght: unknown option. Did you mean 'weight'?"):
        Train(data="d", model="cnn2", teacher="t", distill="cosine:wieght=2")
    ours, theirs = torch.tensor([[1.0, 0.0], [0.0, 2.0]]), torch.tensor([[2.0, 0.0], [3.0, 0.0]])
    loss = make_part(registry, step.distill[0])
    assert loss(ours, theirs, None).item() == pytest.approx(0.5)  # cosines 1 and 0
    assert loss(ours, ours, None).item() == pytest.approx(0)
