"""strop verify: does an export folder still hold what its evidence says?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

from pydantic import Field

from ..config import Command, RunReference
from ..errors import UserError

if TYPE_CHECKING:
    from ..deploy.evidence import Evidence
    from ..deploy.verify import Check


class Verification(NamedTuple):
    """What was found.

    `verdict` is "verified" only where the accuracy was measured again on the same pictures, in each runtime that the
    evidence names; "verified in part" where one of these is not installed.
    """

    folder: str
    verdict: Literal["verified", "verified in part", "hashes only", "differs"]
    checks: list[Check]
    note: str | None = None


class Verify(Command):
    """Hold an export against its evidence: its files, class order, preprocessing and figures, and its accuracy again.

    Exits with 3 and the reason where something differs. Writes nothing. The accuracy is measured on the pictures that
    it was measured on before, in the runtimes it was measured in; without the pictures it says "hashes only", without
    one of the runtimes "verified in part".

    Example: strop verify runs/resnet18-export
    """

    verb: ClassVar[str] = "verify"
    positional: ClassVar[tuple[str, ...]] = ("export",)

    export: RunReference = Field(description="folder that strop export wrote, or a copy of it")
    data: str | None = Field(None, description="where the pictures are (default: where they were, if on this machine)")
    trusted: bool = Field(False, description="you trust who made the folder: measure its other forms too, but no .pt2")
    tolerance: float = Field(
        0.0, ge=0, le=100, description="points of percent that the accuracy may differ by, on another processor"
    )

    def execute(self) -> Verification:
        from ..deploy.claims import check_figures, check_origin
        from ..deploy.evidence import read_evidence
        from ..deploy.files import check_files
        from ..deploy.verify import check_classes, check_file, check_preprocessing, read_graph
        from ..deploy.verify_forms import check_forms
        from .forms import by_hash_only, check_installed, measure_again

        folder = Path(self.export)
        evidence = read_evidence(folder)
        check_installed(evidence, self.trusted)
        file, raw = check_file(folder, evidence.file, evidence)
        model, about = read_graph(raw) if raw else (None, None)
        checks = [file, check_classes(folder, evidence, about)]
        if raw:
            checks.append(check_preprocessing(folder, evidence, model, about))
        checks += [check_files(folder, evidence), check_figures(folder, evidence), check_origin(folder, evidence)]
        others = check_forms(folder, evidence)
        checks += [other.check for other in others]
        if not all(check.holds for check in checks):
            return Verification(self.export, "differs", checks)
        data, why_not = self._open_data(folder)
        if data is None:
            return Verification(self.export, "hashes only", checks, why_not)
        again = self._measure_again(raw, evidence, data)
        if self.trusted:
            split = evidence.accuracy.split
            checks[len(checks) - len(others) :] = measure_again(others, raw, data, split, self.tolerance)
        checks += again
        if any(check.holds is False for check in checks):
            return Verification(self.export, "differs", checks, _versions(evidence))
        verdict = "verified" if all(check.holds for check in checks) else "verified in part"
        return Verification(self.export, verdict, checks, by_hash_only(others, self.trusted))

    def _measure_again(self, raw: bytes, evidence: Evidence, data: Any) -> list[Check]:
        """The accuracy in ONNX Runtime, then in the other runtimes of the evidence."""
        from ..deploy.verify import check_runtime, check_scores
        from .runtimes import is_installed

        _same_pictures(evidence, data)
        checks = [check_scores(_measure(raw, evidence, data, "onnxruntime"), evidence, self.tolerance)]
        for then in evidence.runtimes:
            if then.name != "onnxruntime":
                scores = _measure(raw, evidence, data, then.name) if is_installed(then.name) else None
                checks.append(check_runtime(then, scores, self.tolerance))
        return checks

    def _open_data(self, folder: Path) -> tuple[Any, str | None]:
        """The pictures, or None and why they are not there. What data.json names is looked for on this machine only."""
        from ..data.dataset import open_again
        from ..deploy.evidence import read_limited_json

        if not (folder / "data.json").exists():
            if self.data is not None:
                raise UserError(str(folder), "has no data.json, which says how the pictures were divided. Put it back.")
            return None, "data.json, which says what was measured on, is not in the folder"
        about = read_limited_json(folder / "data.json")
        try:
            where = self.data or _on_this_machine(about)
            if where is None:
                return None, f"the pictures of '{str(about['source'])[:60]}' are not known here; say --data WHERE"
            return open_again(about | {"location": where}), None
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise UserError(str(folder / "data.json"), f"is not as strop writes it ({error!r:.80}).") from None


def _on_this_machine(about: dict[str, Any]) -> str | None:
    """Where the pictures were, if that is a path that is there or a bundled set: nothing is fetched unasked."""
    from importlib import resources

    location, source = about["location"], str(about["source"])
    if location is None:
        folders = [item.name for item in (resources.files("strop.data") / "bundled").iterdir() if item.is_dir()]
        return source if source.replace("-", "_") in folders else None
    return location if isinstance(location, str) and Path(location).exists() else None


def _same_pictures(evidence: Evidence, data: Any) -> None:
    """Raises UserError for other pictures than those of the evidence."""
    if list(data.classes) != evidence.classes or data.fingerprint != evidence.data:
        raise UserError(
            str(data.source.location or data.source.name),
            f"are not the pictures that the evidence is about (their fingerprint is {data.fingerprint}, "
            f"there it is {evidence.data}). Give those.",
        )


def _measure(raw: bytes, evidence: Evidence, data: Any, runtime: str) -> dict[str, Any]:
    """Scores of the bytes that were checked, on the pictures of the evidence."""
    from ..measure.evaluate import evaluate
    from .runtimes import open_file
    from .whole import WholePictures, answer_whole

    pictures = WholePictures(data, evidence.accuracy.split)
    return evaluate(answer_whole(open_file(runtime, raw, 0)), pictures, data.classes)


def _versions(evidence: Evidence) -> str | None:
    """What runs in another version than then, which can move a picture that lies between two classes."""
    from ..runs import versions

    now = versions()
    others = [
        f"{name} {then}, now {now[name]}" for name, then in evidence.versions.items() if now.get(name, then) != then
    ]
    return f"measured with {'; '.join(others)}" if others else None
