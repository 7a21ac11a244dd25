"""The rules of the house that a machine can check: who imports whom, how long, how safe, what is shipped."""

import ast
import fnmatch
import sys
import tomllib
from pathlib import Path

import pytest

import strop

PACKAGE = Path(strop.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))
every_file = pytest.mark.parametrize("file", FILES, ids=[f.relative_to(PACKAGE).as_posix() for f in FILES])

# DESIGN, section 3, from the bottom up: a module may import from its own layer and from those below.
LAYERS = [
    {"errors", "fetching", "fonts", "launch", "lazy", "writing", "__init__"},
    {"config", "runs", "registry", "yaml"},
    {"data", "models", "measure", "audit"},
    {"augment", "train", "distill", "sparsify", "prune", "quantize"},
    {"artifact", "deploy", "report"},
    {"steps"},
    {"recipe"},
    {"cli", "comparing", "flags", "grouping", "laddering", "planning", "printing", "__main__"},
]
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}
METHODS = LAYERS[3]

PUBLIC = {
    "__version__", "Train", "Prune", "Quantize", "Export", "Evaluate", "Bench", "Predict", "Recipe", "Run",
    "compare", "load", "fit", "UserError",
}  # fmt: skip


def place(file: Path) -> str:
    return file.relative_to(PACKAGE).as_posix()


def part_of_house(module: str) -> str:
    return module.partition(".")[0]


def imports_of(file: Path) -> list[tuple[int, str]]:
    """(line, module inside strop) of every import, in functions too; those for type checkers only are left out."""
    own = list(file.relative_to(PACKAGE).with_suffix("").parts)
    found = []

    def visit(node: ast.AST) -> None:
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            for other in node.orelse:
                visit(other)
            return
        if isinstance(node, ast.ImportFrom):
            package = own[: len(own) - node.level] if node.level else []
            words = [*package, *(node.module.split(".") if node.module else [])]
            if not node.level:
                if words[0] != "strop":
                    return
                words = words[1:]
            for name in node.names:
                module = [*words, name.name]
                found.append((node.lineno, ".".join(module if is_module(module) else words) or "__init__"))
        elif isinstance(node, ast.Import):
            found.extend(
                (node.lineno, name.name.removeprefix("strop").lstrip(".") or "__init__")
                for name in node.names
                if name.name.split(".")[0] == "strop"
            )
        for child in ast.iter_child_nodes(node):
            visit(child)

    visit(ast.parse(file.read_text(encoding="utf-8")))
    return found


def is_module(words: list[str]) -> bool:
    path = PACKAGE.joinpath(*words)
    return path.with_suffix(".py").is_file() or path.is_dir()


def breaks(file: Path) -> list[tuple[str, str, str]]:
    """(file, module, sentence) for each import against the order."""
    here, found = part_of_house(".".join(file.relative_to(PACKAGE).with_suffix("").parts)), []
    for line, module in imports_of(file):
        there = part_of_house(module)
        if here == there:
            continue
        if {here, there} <= METHODS:
            reason = "methods do not import each other; let steps bring them together"
        elif LEVEL[there] > LEVEL[here]:
            reason = f"{here} lies below {there}; move what is needed down, or the use of it up"
        else:
            continue
        found.append((place(file), module, f"{place(file)} line {line} imports {module}: {reason}"))
    return found


def test_imports_go_one_way():
    """errors < config, runs < data, models, measure < methods < artifact, deploy, report < steps < recipe < cli."""
    unknown = {part_of_house(place(file).removesuffix(".py").replace("/", ".")) for file in FILES} - set(LEVEL)
    assert not unknown, f"say in LAYERS where {sorted(unknown)} belongs"
    wrong = [sentence for file in FILES for _, _, sentence in breaks(file)]
    assert not wrong, "\n".join(wrong)


def test_the_import_check_sees_what_it_should(tmp_path, monkeypatch):
    """Imports in functions, relative ones of each depth, and packages count; those for type checkers do not."""
    modules = {module for _, module in imports_of(PACKAGE / "steps" / "train.py")}
    assert {"models.choice", "artifact", "steps.options", "config", "runs"} <= modules
    assert "models" not in {module for _, module in imports_of(PACKAGE / "report" / "rows.py")}
    broken = tmp_path / "errors.py"
    broken.write_text("def late():\n    from .steps import VERBS\n")
    monkeypatch.setattr(sys.modules[__name__], "PACKAGE", tmp_path)
    assert [sentence for *_, sentence in breaks(broken)], "a break is seen, in a function too"


def test_importing_the_command_line_loads_no_torch(python):
    """Neither do the steps, the registries and the report, all of which it reaches."""
    said = python(
        "import sys, strop.cli, strop.recipe, strop.report.rows, strop.report.formats, strop.report.page\n"
        "from strop.steps import VERBS, step_class\n"
        "[step_class(verb) for verb in VERBS]\n"
        "print([m for m in ('torch', 'torchvision', 'timm', 'numpy', 'cv2', 'onnx', 'matplotlib') if m in sys.modules])"
    )
    assert said == "[]\n"


def test_public_names_are_exactly_these():
    """The dozen names of DESIGN, section 3; each resolves, and nothing else is promised."""
    assert set(strop.__all__) == PUBLIC and len(strop.__all__) == len(PUBLIC)
    assert set(dir(strop)) == PUBLIC
    for name in PUBLIC:
        assert getattr(strop, name) is not None
    with pytest.raises(AttributeError, match="module 'strop' has no attribute 'nonesuch'"):
        strop.nonesuch  # noqa: B018


def test_import_strop_is_cheap(python):
    """The names are resolved on first use."""
    said = python("import sys, strop\nprint([m for m in ('pydantic', 'torch', 'strop.steps') if m in sys.modules])")
    assert said == "[]\n"


@every_file
def test_files_are_short(file):
    """DESIGN, section 8, wants 100 to 300 lines; 350 is the end."""
    lines = file.read_text(encoding="utf-8").count("\n")
    assert lines <= 350, f"{place(file)} has {lines} lines; split it by what it is about"


@every_file
def test_files_say_what_they_are(file):
    """A module begins with a docstring."""
    assert ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))), f"{place(file)} has no docstring"


@every_file
def test_nothing_unsafe(file):
    """No pickle, no evaluation of text, no torch.load, no except that swallows all."""
    source = file.read_text(encoding="utf-8")
    for node in ast.walk(ast.parse(source)):
        where = f"{place(file)} line {getattr(node, 'lineno', 0)}"
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            assert called not in ("eval", "exec", "compile", "__import__"), f"{where} calls {called}"
            assert called not in ("torch.load", "torch.save", "joblib.load", "yaml.unsafe_load"), f"{where}: {called}"
            assert called not in ("os.system", "os.popen"), f"{where} calls a shell"
            assert not any(k.arg == "shell" for k in node.keywords), f"{where} calls a shell"
            for keyword in node.keywords:
                if keyword.arg in ("allow_pickle", "weights_only"):
                    assert ast.unparse(keyword.value) == str(keyword.arg == "weights_only"), where
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = {getattr(node, "module", None), *(name.name for name in node.names)}
            assert not names & {"pickle", "cPickle", "dill", "cloudpickle", "shelve", "marshal", "joblib"}, where
        assert not (isinstance(node, ast.ExceptHandler) and node.type is None), f"{where}: bare except"


def test_package_data_is_shipped():
    """Every file that is no Python is covered by a pattern of pyproject's package-data, and every pattern is used."""
    project = tomllib.loads((PACKAGE.parent.parent / "pyproject.toml").read_text(encoding="utf-8"))
    patterns = project["tool"]["setuptools"]["package-data"]["strop"]
    files = [
        path.relative_to(PACKAGE)
        for path in PACKAGE.rglob("*")
        if path.is_file() and path.suffix not in (".py", ".pyc") and path.name != ".DS_Store"
    ]

    def covers(pattern: str, path: Path) -> bool:
        words = pattern.split("/")
        return len(words) == len(path.parts) and all(map(fnmatch.fnmatchcase, path.parts, words))

    assert [str(path) for path in files if not any(covers(pattern, path) for pattern in patterns)] == []
    assert [pattern for pattern in patterns if not any(covers(pattern, path) for path in files)] == []
    folders = {path.parent for path in FILES}
    assert [str(f) for f in folders if not (f / "__init__.py").is_file()] == [], "setuptools finds packages by it"
