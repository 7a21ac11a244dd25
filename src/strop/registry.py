"""Parts (losses, criteria, augmentations, models, data sources) found by their folder.

A part is one file that says its own name, `@losses.add("kd")`. Names and options are read from
the source, so listing or checking them imports neither the file nor torch.
"""

from __future__ import annotations

import ast
import functools
import importlib
import importlib.util
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import UserError, suggest

REQUIRED = object()


@dataclass(frozen=True)
class Option:
    """One option of a part, as its signature states it; `default` is REQUIRED where there is none."""

    name: str
    type: str
    default: Any


@dataclass(frozen=True)
class Entry:
    """One part: where it is defined and which options it takes."""

    name: str
    file: Path
    options: dict[str, Option]
    summary: str


class Registry:
    """The parts of one folder.

    Args:
        kind: what a part is called in messages, e.g. "loss".
        package: dotted name of the package that owns the folder.
        path: its `__path__`; folders added to it are searched too.

    Example:
        >>> from strop.distill import losses
        >>> "kd" in losses.names()
        True
    """

    def __init__(self, kind: str, package: str, path: Iterable[str]):
        self.kind, self.package, self.path = kind, package, list(path)
        self._home = Path(self.path[0]).resolve()
        self._loaded: dict[str, Any] = {}

    def add(self, name: str) -> Callable:
        """Decorator: the class or function is the part `name`."""

        def register(part):
            self._loaded[name] = part
            return part

        return register

    def entries(self) -> dict[str, Entry]:
        """All parts by name, read from the source files."""
        found: dict[str, Entry] = {}
        for folder in self.path:
            for file in sorted(Path(folder).glob("*.py")):
                for entry in _read_once(file, file.stat().st_mtime_ns):
                    if entry.name in found:
                        raise RuntimeError(
                            f"{self.kind} '{entry.name}' is defined twice: {found[entry.name].file}, {file}"
                        )
                    found[entry.name] = entry
        return found

    def names(self) -> list[str]:
        return sorted(self.entries())

    def get(self, name: str) -> Any:
        """The part itself; imports its file. Raises UserError for an unknown name."""
        entry = self.entries().get(name)
        if entry is None:
            raise UserError(self.kind, f"'{name}' is unknown. {suggest(name, self.names())}")
        if name not in self._loaded:
            _import(entry.file, self.package, self._home)
        return self._loaded[name]


def _import(file: Path, package: str, home: Path) -> None:
    if file.resolve().parent == home:
        importlib.import_module(f"{package}.{file.stem}")
        return
    spec = importlib.util.spec_from_file_location(f"{package}._added_{file.stem}", file)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)


@functools.lru_cache(maxsize=1024)
def _read_once(file: Path, _changed: int) -> tuple[Entry, ...]:
    """A listing of networks asks for all entries once for each name; parsing takes milliseconds a file."""
    return tuple(_read(file))


def _read(file: Path) -> Iterable[Entry]:
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        if not isinstance(node, ast.ClassDef | ast.FunctionDef):
            continue
        for decorator in node.decorator_list:
            match decorator:
                case ast.Call(func=ast.Attribute(attr="add"), args=[ast.Constant(value=str(name))]):
                    summary = (ast.get_docstring(node) or "").split("\n")[0]
                    yield Entry(name, file, _options(node), summary)


def _options(node: ast.ClassDef | ast.FunctionDef) -> dict[str, Option]:
    """Keyword-only parameters of a function; all parameters of a class's `__init__`."""
    if isinstance(node, ast.FunctionDef):
        pairs = list(zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True))
    else:
        init = next((f for f in node.body if isinstance(f, ast.FunctionDef) and f.name == "__init__"), None)
        if init is None:
            return {}
        positional = init.args.args[1:]
        defaults = [None] * (len(positional) - len(init.args.defaults)) + list(init.args.defaults)
        pairs = list(zip(positional, defaults, strict=True))
        pairs += list(zip(init.args.kwonlyargs, init.args.kw_defaults, strict=True))
    return {
        arg.arg: Option(
            arg.arg,
            ast.unparse(arg.annotation) if arg.annotation else "str",
            REQUIRED if default is None else ast.literal_eval(default),
        )
        for arg, default in pairs
    }
