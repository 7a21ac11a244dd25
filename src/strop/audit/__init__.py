"""The audit: what is wrong with a set of pictures, found before a training starts. No torch, and nothing is changed.

findings = audit("photos/", labels=True)
print(findings.verdict())
write_audit(findings, Path("runs/photos-audit"))                   # audit.json and audit.html
"""

from __future__ import annotations

import importlib

_PUBLIC = {
    "audit": "auditing",
    "write_audit": "auditing",
    "Finding": "findings",
    "Findings": "findings",
    "Item": "findings",
    "write_exclusions": "exclusions",
    "read_exclusions": "exclusions",
}
__all__ = [*_PUBLIC]


def __getattr__(name: str):
    """Resolve names on first use: numpy, OpenCV and scikit-learn cost time that --help must not pay."""
    if name not in _PUBLIC:
        raise AttributeError(f"module 'strop.audit' has no attribute '{name}'")
    return getattr(importlib.import_module(f".{_PUBLIC[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted(__all__)
