"""evidence.json: what was measured on an exported file, bound to its bytes; written by export, read by verify."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ..data.picture import open_regular, unreadable
from ..errors import UserError, suggest
from ..runs import Run, file_hash, parse_json
from ..writing import write_json
from .forms import forms
from .settings import Settings

MODEL, CLASSES, EVIDENCE = "model.onnx", "classes.json", "evidence.json"
LARGEST_JSON = 50_000_000
LARGEST_MODEL = 2**31  # what protobuf can hold
FILE_NAME = r"^[A-Za-z][\w.-]{0,99}$"
SHA256 = "^[0-9a-f]{64}$"
COUNTED, SUMMED = ("accuracy", "macro_precision", "macro_recall", "macro_f1", "top5"), ("loss", "brier", "ece")
SCORES = (
    *("split", "pictures", "n", "accuracy", "accuracy_interval", "interval_method"),
    *("macro_precision", "macro_recall", "macro_f1", "top5", "top5_interval"),
    *("loss", "brier", "ece", "ece_bins", "test_set", "looks"),
)


Share = Annotated[float, Field(ge=0, le=1, strict=False)]
Number = Annotated[float, Field(strict=False)]


class Block(BaseModel):
    """A part of evidence.json: what is checked is declared, and more may stand in it for people."""

    model_config = ConfigDict(strict=True, allow_inf_nan=False, extra="allow")


class Scores(Block):
    """`accuracy`: what verify holds a new measurement against, and (as extra fields) the rest."""

    split: str = Field(pattern="^(train|val|test)$")
    n: int = Field(ge=1)
    accuracy: Share
    accuracy_interval: tuple[Share, Share] = Field(strict=False)
    interval_method: str = Field(max_length=100)
    macro_precision: Share
    macro_recall: Share
    macro_f1: Share
    top5: Share | None = None
    loss: Number | None = None
    brier: Number | None = None
    ece: Number | None = None


class Listed(BaseModel):
    """A file that export wrote."""

    model_config = ConfigDict(strict=True)

    bytes: int = Field(ge=0, le=LARGEST_MODEL)
    sha256: str = Field(pattern=SHA256)


class Ancestor(Block):
    """A run that the file came from, with the hash of its model file and model.json."""

    id: str = Field(max_length=255)
    hash: str = Field(max_length=200)
    started: str | None = None
    changed: bool = False


class Milliseconds(Block):
    """A median and a tail."""

    p50: Number
    p95: Number


class Latency(Block):
    """`latency_ms`, and (as extra fields) what was timed, and how."""

    latency_ms: Milliseconds


class Resizing(Block):
    """How many pictures get the class that they get when strop scales them itself."""

    n: int
    same_class: int


class Agreement(Block):
    """How many of the pictures a form gives the class to that model.onnx gives, and (as extra fields) the rest."""

    n: int = Field(ge=1)
    same_class: int = Field(ge=0)


class FormEvidence(Block):
    """What was measured on another form (the rest are extra fields); its files are those that such a form writes."""

    form: str = Field(max_length=40)
    files: dict[str, Listed] = Field(max_length=20)
    runtime: str = Field(max_length=100)
    accuracy: Share
    agreement: Agreement

    @model_validator(mode="after")
    def _is_known(self) -> FormEvidence:
        if self.form not in forms.names():
            raise ValueError(f"'{self.form}' is not a form. {suggest(self.form, forms.names())}")
        if set(self.files) != set(forms.get(self.form).files):
            raise ValueError(f"its files are {', '.join(forms.get(self.form).files)}")
        return self


class Differing(Block):
    """How many pictures get another class than in the first runtime."""

    count: int = Field(ge=0)


class InRuntime(Block):
    """What was measured in one of several runtimes; the first has no `disagreements`."""

    name: str = Field(pattern="^(onnxruntime|openvino)$")
    version: str = Field(max_length=100)
    n: int = Field(ge=1)
    accuracy: Share
    accuracy_interval: tuple[Share, Share] = Field(strict=False)
    disagreements: Differing = Differing(count=0)
    latency_ms: Milliseconds


class Evidence(BaseModel):
    """The part of evidence.json that verify reads. It names no path that is followed."""

    model_config = ConfigDict(strict=True, allow_inf_nan=False)

    format: int = Field(ge=1, le=1)
    file: str = Field(pattern=r"^model\.onnx$")
    bytes: int = Field(ge=1, le=LARGEST_MODEL)
    sha256: str = Field(pattern=SHA256)
    files: dict[Annotated[str, Field(pattern=FILE_NAME)], Listed] = Field(max_length=1000)
    classes: list[str] = Field(min_length=1)
    preprocess: Settings
    accuracy: Scores
    resizing: Resizing
    latency: Latency
    forms: list[FormEvidence] = Field([], max_length=20)
    data: str = Field(max_length=200)
    source: str = Field(max_length=10_000)
    parents: dict[str, Ancestor] = Field(max_length=100)
    lineage: list[Ancestor] = Field(max_length=10_000)
    runtimes: list[InRuntime] = Field([], max_length=10)
    versions: dict[str, str] = {}


def write_evidence(run: Run, result: dict, settings: Settings, resizing: dict, source: str) -> None:
    """Write classes.json, then evidence.json; `files.list_files` completes it."""
    scores, record = result["measured"][0], run.record
    write_json(run.folder / CLASSES, scores["classes"])
    write_json(
        run.folder / EVIDENCE,
        {
            "format": 1,
            "file": MODEL,
            "bytes": (run.folder / MODEL).stat().st_size,
            "sha256": file_hash(run.folder / MODEL).removeprefix("sha256:"),
            "input": {"name": "images", "type": "uint8", "shape": ["batch", "height", "width", 3], "colours": "RGB"},
            "output": {"name": "probabilities", "type": "float32", "shape": ["batch", len(scores["classes"])]},
            "classes": scores["classes"],
            "preprocess": settings.model_dump(mode="json"),
            "accuracy": {name: scores[name] for name in SCORES if name in scores},
            "resizing": resizing,
            "latency": result["latency"],
            **({"forms": result["forms"]} if "forms" in result else {}),
            **({"runtimes": result["runtimes"]} if "runtimes" in result else {}),
            "data": scores["data"],
            "source": source,
            "parents": record["parents"],
            "lineage": lineage(run),
            "versions": record["versions"],
            "machine": record["machine"],
        },
    )


def lineage(run: Run) -> list[dict[str, Any]]:
    """Every run that the file came from, nearest first, as far as their folders are still there."""
    found: list[dict[str, Any]] = []
    waiting = [(run, role, parent) for role, parent in run.record["parents"].items()]
    while waiting:
        child, role, link = waiting.pop(0)
        about = {"id": link["id"], "role": role, "of": child.id, "hash": link["hash"]}
        try:
            parent = Run.open(child.folder / link["path"])
            record = parent.record
            about |= {name: record[name] for name in ("verb", "command", "started", "strop", "git")}
            about["changed"] = parent.model_hash() != link["hash"]
            waiting += [(parent, role, above) for role, above in record["parents"].items()]
        except UserError:
            about["missing"] = True
        if about not in found:
            found.append(about)
    return found


def read_evidence(folder: Path) -> Evidence:
    """Evidence of a folder that anyone may have made. Raises UserError where it can't be read as such."""
    path = folder / EVIDENCE
    if not path.is_file():
        raise UserError(str(folder), f"holds no {EVIDENCE}. Give a folder that strop export wrote.")
    found = read_limited_json(path)
    if isinstance(found, dict) and "files" not in found and "sha256" in found:
        raise UserError(str(path), "lists no files; an earlier strop wrote it. Export the run again.")
    try:
        return Evidence.model_validate(found)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "it"
        raise UserError(str(path), f"{place}: {first['msg']}. It is not as strop export writes it.") from None


def read_limited_json(path: Path) -> Any:
    """JSON of a regular file of at most 50 MB. Raises UserError for anything else."""
    try:
        with open_inside(path) as file:
            raw = file.read(LARGEST_JSON + 1)
    except OSError as error:
        raise unreadable(str(path), error) from None
    if len(raw) > LARGEST_JSON:
        raise UserError(str(path), f"is larger than the {LARGEST_JSON:,} bytes that strop reads.")
    try:
        return parse_json(raw.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise UserError(str(path), f"is not readable as JSON ({str(error)[:80]}).") from None


def open_inside(path: Path) -> Any:
    """Open a regular file; a link that leads out of its folder is refused. Raises OSError and UserError."""
    if path.resolve().parent != path.parent.resolve():
        raise UserError(str(path), "is a link to a file outside the folder. Put the file itself there.")
    return open_regular(path)
