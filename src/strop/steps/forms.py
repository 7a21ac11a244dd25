"""strop export --also: the same network in other forms, each measured on the bytes that are written."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from importlib.metadata import version
from importlib.util import find_spec
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BeforeValidator, PlainSerializer

from ..deploy.forms import Source, forms
from ..errors import GateFailed, StropError, UserError
from ..runs import Run
from .fields import read_names
from .step import log

if TYPE_CHECKING:
    from ..deploy.evidence import Evidence, FormEvidence
    from ..deploy.verify import Check
    from ..deploy.verify_forms import Held

LEAST_SAME = 0.999  # of the pictures: what lies between two classes may fall to either side
LARGEST_DIFFERENCE = 0.01  # of a probability


def _read_forms(value: Any) -> tuple[str, ...]:
    return read_names(value, known=forms.names(), what="form", example="pt2,openvino")


FormsField = Annotated[tuple[str, ...], BeforeValidator(_read_forms), PlainSerializer(list)]


def check_forms(also: Sequence[str], parent: Run) -> None:
    """Refuse, before anything is written, what can't be made of this run or on this machine."""
    for name in also:
        if forms.get(name).from_torch and parent.model_file.suffix == ".onnx":
            raise UserError(
                f"--also {name}",
                f"is made from a float network, and '{parent.id}' is a quantized ONNX file. Export its float parent.",
            )
        if not is_installed(name):
            raise UserError(f"--also {name}", f"is not installed. Write: pip install 'strop[{name}]'; or leave it out.")


def is_installed(name: str) -> bool:
    """Whether what a form needs is on this machine."""
    return find_spec(forms.get(name).package) is not None


def write_forms(
    also: Sequence[str], run: Run, parent: Run, session: Any, settings: Any, data: Any, split: str
) -> list[dict[str, Any]]:
    """Make each form, measure it, and write it where it agrees with model.onnx; the blocks of evidence.json.

    Args:
        session: model.onnx.
    Raises:
        UserError: a form can't express or run this network.
        GateFailed: a form gives other answers than model.onnx. It is not written.
    """
    from ..writing import write_whole

    if not also:
        return []
    blocks, source = [], _source(run, parent, settings, session.about.classes)
    for name in also:
        form = forms.get(name)
        with expressing(name):
            files = form.write(source)
            found = measure_form(form, form.open(files), session, data, split)
        said = f"{', '.join(files)}: {describe(found['agreement'])}"
        if disagrees(found["agreement"]):
            raise GateFailed(f"--also {name}: {said}. Nothing was written. Leave it out.")
        for file, content in files.items():
            write_whole(run.folder / file, content)
        blocks.append(
            {
                "form": name,
                "files": {file: _describe(content) for file, content in files.items()},
                "runtime": f"{form.package} {version(form.package)}",
                "input": {"type": "uint8", "shape": _shape(form, session), "colours": "RGB"},
                **found,
            }
        )
        log.info("  %s, %.2f %%", said, 100 * found["accuracy"])
    return blocks


def _source(run: Run, parent: Run, settings: Any, classes: list[str]) -> Source:
    from .. import artifact

    net = None if parent.model_file.suffix == ".onnx" else artifact.load(parent).net
    return Source(net, run.folder / "model.onnx", settings, classes)


@contextmanager
def expressing(name: str) -> Iterator[None]:
    """UserError for whatever goes wrong while a form is made and runs, but for full disks and memory."""
    try:
        yield
    except (OSError, MemoryError, StropError):
        raise
    except Exception as error:  # torch.export and what builds on it raise of many kinds
        reason = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise UserError(f"--also {name}", f"can't express this network ({reason[:160]}). Leave it out.") from error


def measure_form(form: Any, opened: Any, session: Any, data: Any, split: str) -> dict[str, Any]:
    """Accuracy of a form, and how often it gives the class that model.onnx gives to the same pixels.

    Those are whole pictures, or squares that strop cuts and scales itself for a form that takes no others.

    Args:
        opened: what `form.open` gave.
        session: model.onnx.
    """
    from ..deploy.classify import classify_whole
    from ..measure.evaluate import evaluate
    from .whole import Whole, WholePictures, classify_cut

    classify = classify_whole if form.any_size else partial(classify_cut, shape=session.shape)
    beside = Whole(partial(classify, opened), partial(classify, session))
    scores = evaluate(beside, WholePictures(data, split), data.classes)
    return {"accuracy": scores["accuracy"], "agreement": beside.agreement}


def disagrees(agreement: dict[str, Any]) -> bool:
    """Whether a form gives other answers than model.onnx, by more than rounding can do."""
    same = agreement["same_class"] >= LEAST_SAME * agreement["n"]
    return not (same and agreement["largest_difference"] <= LARGEST_DIFFERENCE)  # NaN is no agreement


def describe(agreement: dict[str, Any]) -> str:
    """The sentence of the log, of the check and of the error."""
    return (
        f"the class of model.onnx on {agreement['same_class']:,} of {agreement['n']:,} pictures, "
        f"probabilities at most {agreement['largest_difference']:.6f} apart"
    )


def _describe(content: bytes) -> dict[str, Any]:
    return {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def _shape(form: Any, session: Any) -> list[Any]:
    size = session.shape[-1]
    return ["batch", "height", "width", 3] if form.any_size else [1, size, size, 3]


def check_installed(evidence: Evidence, trusted: bool) -> None:
    """Refuse to measure again what can't be run on this machine."""
    for about in evidence.forms if trusted else ():
        if forms.get(about.form).runs_if_trusted and not is_installed(about.form):
            raise UserError("--trusted", f"{about.form} is not installed. Write: pip install 'strop[{about.form}]'.")


def measure_again(others: list[Held], raw: bytes, data: Any, split: str, tolerance: float) -> list[Check]:
    """The checks of an export's forms, with those that may be run held against model.onnx once more.

    Args:
        raw: model.onnx.
        tolerance: points of percent that accuracy and agreement may be below those of the evidence.
    """
    from ..deploy.runtime import OnnxModel

    checks, session = [], OnnxModel(raw)
    for check, about, files in others:
        if files and forms.get(about.form).runs_if_trusted:
            check = _check_again(about, files, session, data, split, tolerance)
        checks.append(check)
    return checks


def _check_again(about: FormEvidence, files: Any, session: Any, data: Any, split: str, tolerance: float) -> Check:
    from ..deploy.verify import Check

    form = forms.get(about.form)
    try:
        found = measure_form(form, form.open(files), session, data, split)
    except RuntimeError as error:  # what runtimes raise for files that they can't read or run
        return Check(about.form, False, f"{', '.join(files)} can't be run ({str(error)[:80]})")
    said = f"{', '.join(files)}, {100 * found['accuracy']:.2f} %, {describe(found['agreement'])}"
    lost = about.agreement.same_class - found["agreement"]["same_class"]
    slack = tolerance / 100 * about.agreement.n + 1e-6
    if lost > slack or abs(found["accuracy"] - about.accuracy) * about.agreement.n > slack:
        then = f"{100 * about.accuracy:.2f} % and {about.agreement.same_class:,} of {about.agreement.n:,}"
        return Check(about.form, False, f"{said}; the evidence says {then}")
    return Check(about.form, True, said)


def by_hash_only(others: list[Held], trusted: bool) -> str | None:
    """The note about the forms that nothing was measured of."""
    held = [other for other in others if other.files and not (trusted and forms.get(other.check.name).runs_if_trusted)]
    return f"{', '.join(file for other in held for file in other.files)} by hash only" if held else None
