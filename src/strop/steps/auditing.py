"""The quick audit at the start of a training: a few lines of log, a block of data.json, and with `strict` a stop."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ..errors import AuditFailed
from .step import log

if TYPE_CHECKING:
    from ..audit.findings import Findings
    from ..data.dataset import Data

_SHOWN = 3


def audit_at_start(data: Data, how: str) -> Data:
    """Look for leaks, double labels, duplicates and lopsided classes; what was found goes with the data.

    Args:
        data: what is trained on.
        how: "off", "warn", or "strict".
    Raises:
        AuditFailed: "strict", and there are errors.
    """
    if how == "off":
        return data
    from ..audit.opening import audit_opened

    findings = audit_opened(data)
    if how == "strict" and findings.has_errors:
        errors = [finding.sentence for finding in findings.found if finding.severity == "error"]
        head = f"{_place(data)}: the audit found errors, nothing was run"
        hint = "Mend the set, or train with --audit warn."
        raise AuditFailed("\n  ".join([head, *errors, _look_closer(data), hint]))
    return replace(data, audit=_summarise(findings))


def tell_audit(data: Data) -> None:
    """The verdict in the log: errors and warnings, the first few of them, and how to see the pictures in question."""
    if data.audit is None:
        return
    told = [finding for finding in data.audit["findings"] if finding["severity"] != "note"]
    if not told:
        log.info("%s: quick audit: nothing wrong", data.source.name)
        return
    log.warning("%s: quick audit: %s", data.source.name, _count([finding["severity"] for finding in told]))
    for finding in told[:_SHOWN]:
        log.warning("  %s: %s", finding["severity"], finding["sentence"])
    more = f"and {len(told) - _SHOWN} more; " if len(told) > _SHOWN else ""
    log.warning("  %s%s", more, _look_closer(data))


def _place(data: Data) -> str:
    return data.source.location or data.source.name


def _look_closer(data: Data) -> str:
    return f"look closer: strop audit {_place(data)}"


def _count(severities: list[str]) -> str:
    numbers = {word: severities.count(word) for word in ("error", "warning")}
    return ", ".join(f"{n} {word}{'s' * (n > 1)}" for word, n in numbers.items() if n)


def _summarise(findings: Findings) -> dict:
    """The `audit` block of data.json; the files in question are for audit.json."""
    found = [
        {"kind": finding.kind, "severity": finding.severity, "count": finding.count, "sentence": finding.sentence}
        for finding in findings.found
    ]
    return {"quick": True, "errors": findings.has_errors, "findings": found}
