"""The audit: what is wrong with a set of pictures, found before a training starts. No torch, and nothing is changed.

findings = audit("photos/", labels=True)
print(findings.verdict())
write_audit(findings, Path("runs/photos-audit"))                   # audit.json and audit.html
"""

from __future__ import annotations

from ..lazy import resolve_lazily

_PUBLIC = {
    "audit": "auditing",
    "write_audit": "auditing",
    "Finding": "findings",
    "Findings": "findings",
    "Item": "findings",
    "write_exclusions": "exclusions",
}
__all__ = [*_PUBLIC]

# numpy, OpenCV and scikit-learn cost time that --help must not pay.
__getattr__ = resolve_lazily(__name__, _PUBLIC)


def __dir__() -> list[str]:
    return sorted(__all__)
