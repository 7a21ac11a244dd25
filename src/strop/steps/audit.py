"""strop audit: what is wrong with a set of pictures, before a training starts."""

from __future__ import annotations

import logging
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from pydantic import Field

from ..augment import PRESETS
from ..config import Command
from ..errors import UserError
from ..runs import check_new_file, check_new_folder, free_folder
from .embedding import EmbeddingField, make_embed
from .parts import Augment, split_mixing

if TYPE_CHECKING:
    from ..audit.findings import Findings

log = logging.getLogger("strop")
_TELL_EVERY = 10.0
PREVIEW_PICTURES, PREVIEW_PIXELS = 8, 224


class Audited(NamedTuple):
    """What an audit found, and what it wrote."""

    findings: Findings
    files: list[Path]


class Audit(Command):
    """Find corrupt, duplicate, leaking, mislabelled and unbalanced pictures. The data set stays as it is.

    Example: strop audit photos/ --labels --fix exclude.txt
    """

    verb: ClassVar[str] = "audit"
    positional: ClassVar[tuple[str, ...]] = ("data",)

    data: str = Field(min_length=1, description="folder, table, wds:SHARDS, hf:NAME, or data set")
    quick: bool = Field(False, description="headers and file hashes only")
    labels: bool = Field(False, description="search for likely label errors too")
    embeddings: EmbeddingField = Field(
        None, description="search for crops too, by a pretrained network: auto, its name, or its .safetensors file"
    )
    worst: int = Field(50, ge=1, le=100_000, description="how many doubtful labels to list")
    fix: str | None = Field(
        None, description="new text file of what to leave out, and why, for train --exclude; nothing is deleted"
    )
    preview: str | None = Field(None, description="new PNG that shows what --augment makes of eight pictures")
    augment: Augment = Field(
        "light", validate_default=True, description=f"for --preview: {', '.join(PRESETS)}, or names"
    )
    out: str | None = Field(None, description="new folder for audit.json and audit.html (default: runs/NAME-audit)")
    seed: int = Field(0, ge=0, description="of the folds in the search for label errors")

    def execute(self, *, root: Path | str = "runs") -> Audited:
        """Audit, then write audit.json, audit.html and, where asked for, the exclusion list.

        Raises:
            UserError: there is no such data set, or a place to write is taken; nothing is overwritten.
        """
        from ..audit import audit, write_audit, write_exclusions
        from ..audit.auditing import check_place

        location = self.data if Path(self.data).expanduser().is_dir() else None
        for place in filter(None, (self.out, self.fix)):
            check_place(location and str(Path(location).expanduser()), Path(place))
        self._check_places()
        if self.quick and self.embeddings:
            raise UserError("--embeddings", "needs the pixels, and --quick reads none. Leave one of them out.")
        embed = make_embed(self.embeddings) if self.embeddings else None
        options = {"quick": self.quick, "labels": self.labels, "worst": self.worst, "seed": self.seed}
        findings = audit(self.data, embed=embed, progress=_tell_progress(), **options)
        folder = Path(self.out) if self.out is not None else free_folder(Path(root) / f"{_name(findings.name)}-audit")
        files = write_audit(findings, folder)
        if self.fix is not None:
            count = write_exclusions(findings, Path(self.fix))
            log.info("%s: to leave out: %s", self.fix, f"{count:,}")
            files.append(Path(self.fix))
        if self.preview is not None:
            try:
                files.append(self._draw_preview())
            except UserError as error:  # the audit stands; a set that can't be trained on can't be shown either
                log.warning("no preview: %s", error)
        return Audited(findings, files)

    def _draw_preview(self) -> Path:
        """Eight training pictures, spread evenly, before and after each augmentation."""
        import torch

        from ..augment.preview import preview_grid
        from ..data.dataset import open_data
        from ..data.load import pictures

        data = open_data(self.data, validation="0%", max_unreadable=None)
        train = pictures(data, "train", size=data.natural_size or PREVIEW_PIXELS, channels=data.channels)
        chosen = torch.linspace(0, len(train) - 1, min(PREVIEW_PICTURES, len(train))).long()
        alone, mixing = split_mixing(self.augment)
        if mixing:
            log.info("preview: without %s, which mix the pictures of a batch", ", ".join(part.name for part in mixing))
        parts = [(part.name, part.options) for part in alone]
        names = [data.classes[label] for label in train.labels[chosen]]
        preview_grid(train.batch(chosen), chosen, parts, Path(self.preview), seed=self.seed, names=names)
        return Path(self.preview)

    def _check_places(self) -> None:
        """Refuse before the work what writing would fail at."""
        if self.out is not None:
            check_new_folder("out", Path(self.out))
        for option, name in (("fix", self.fix), ("preview", self.preview)):
            if name is not None:
                check_new_file(option, Path(name))


def _name(name: str) -> str:
    """The data set's name as a plain folder name."""
    return re.sub(r"[^\w.-]+", "-", name).strip("-.") or "data"


def _tell_progress():
    """A progress function that logs a line at most every ten seconds."""
    last = time.monotonic()

    def tell(done: int, total: int) -> None:
        nonlocal last
        if time.monotonic() - last > _TELL_EVERY and done < total:
            last = time.monotonic()
            log.info("%s of %s pictures looked at", f"{done:,}", f"{total:,}")

    return tell
