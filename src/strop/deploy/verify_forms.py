"""Hold the other forms of an export against its evidence. None is opened here: their formats can do harm."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from .evidence import Evidence, FormEvidence
from .forms import forms
from .verify import Check, check_file


class Held(NamedTuple):
    """A form in a folder: its check, what the evidence says of it, and the bytes that were checked, if they hold."""

    check: Check
    about: FormEvidence | None = None
    files: dict[str, bytes] | None = None


def check_forms(folder: Path, evidence: Evidence) -> list[Held]:
    """Each form that the evidence or the folder has."""
    found = [check_form(folder, about, evidence) for about in evidence.forms]
    for name in sorted(set(forms.names()) - {about.form for about in evidence.forms}):
        there = [file for file in forms.get(name).files if os.path.lexists(folder / file)]
        if there:
            said = f"{there[0]} lies in the folder, and the evidence says nothing of it"
            found.append(Held(Check(name, False, said)))
    return found


def check_form(folder: Path, about: FormEvidence, evidence: Evidence) -> Held:
    """Sizes and sha256 of its files, which may be left out of a copy, and whether its figures are possible."""
    if not any(os.path.lexists(folder / file) for file in about.files):
        return Held(Check(about.form, True, f"{', '.join(about.files)} not in the folder"), about)
    files, said = {}, []
    for file, expected in about.files.items():
        check, files[file] = check_file(folder, file, expected, about.form)
        if not check.holds:
            return Held(check, about)
        said.append(check.said)
    if wrong := _impossible(about, evidence):
        return Held(Check(about.form, False, wrong), about)
    said = f"{'; '.join(said)}; by hash only: {forms.get(about.form).danger}"
    return Held(Check(about.form, True, said), about, files)


def _impossible(about: FormEvidence, evidence: Evidence) -> str | None:
    """What the figures of a form can't be beside those of model.onnx: as many right, but where the classes differ."""
    n, same = evidence.accuracy.n, about.agreement.same_class
    if about.agreement.n != n or same > n:
        return f"its evidence is about {same:,} of {about.agreement.n:,} pictures, that of model.onnx about {n:,}"
    if round(abs(about.accuracy - evidence.accuracy.accuracy) * n, 3) > n - same:
        return (
            f"accuracy {100 * about.accuracy:.2f} % can't be: model.onnx has "
            f"{100 * evidence.accuracy.accuracy:.2f} %, and gives another class on {n - same:,} of {n:,} only"
        )
    return None
