"""Packages whose public names are resolved on first use: importing one costs nothing that --help would pay for."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any


def resolve_lazily(package: str, public: Mapping[str, str]) -> Callable[[str], Any]:
    """The module function `__getattr__` (PEP 562) of a package.

    Args:
        package: its dotted name.
        public: public name to the submodule that defines it.

    Example:
        >>> __getattr__ = resolve_lazily(__name__, {"Run": "runs"})
    """

    def get(name: str) -> Any:
        if name not in public:
            raise AttributeError(f"module '{package}' has no attribute '{name}'")
        return getattr(importlib.import_module(f".{public[name]}", package), name)

    return get
