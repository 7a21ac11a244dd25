"""A folder with one folder a class, as it is or below train/, val/ and test/."""

from __future__ import annotations

import difflib
import os
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import UserError, suggest
from .picture import explain_no_picture, is_picture_name
from .source import FileSplit, Source

SPLIT_FOLDERS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
_NEVER = frozenset(["__macosx", "thumbs.db"])
_LAYOUT = "A data folder holds one folder a class: cats/1.jpg, dogs/2.jpg; or train/cats/1.jpg, test/cats/2.jpg."
_SHOWN, _MOST_PROBLEMS, _HEAD_BYTES = 5, 20, 64


@dataclass
class _Scan:
    """What a walk through the folder found; problems are gathered, so that all are reported at once."""

    root: Path
    problems: list[str] = field(default_factory=list)
    not_pictures: list[str] = field(default_factory=list)

    def name(self, path: Path) -> str:
        return unicodedata.normalize("NFC", path.relative_to(self.root).as_posix())


def open_folder(root: Path) -> Source:
    """Find the classes, splits and picture files of a folder; decodes nothing, but looks at every file's first bytes.

    Hidden files and what operating systems leave behind are passed over. The class list comes from train.

    Raises:
        UserError: with all problems at once: no class folders, an empty class, a class that train does not have,
            a file that is no picture, a link that leads out of the folder.
    """
    root = root.resolve()
    scan = _Scan(root)
    folders = _find_splits(scan)
    found = {split: _find_classes(scan, folder) for split, folder in folders.items()}
    classes = sorted(found["train"])
    for split, by_class in found.items():
        for unknown in sorted(set(by_class) - set(classes)):
            place = scan.name(folders[split] / unknown)
            scan.problems.append(f"'{place}' is a class that train does not have. {suggest(unknown, classes)}")
    if len(classes) == 1:
        scan.problems.append(f"there is only one class, '{classes[0]}'. Telling apart needs at least two.")
    _raise_problems(scan)
    splits = {split: _make_split(scan, by_class, classes) for split, by_class in found.items()}
    _raise_problems(scan)
    return Source(unicodedata.normalize("NFC", root.name), str(root), tuple(classes), splits)


def _find_splits(scan: _Scan) -> dict[str, Path]:
    """The folder of each split; the root itself is train where there is no train/ with class folders in it."""
    folders = [path for path in _list(scan, scan.root) if path.is_dir()]
    if not folders:
        _raise_flat(scan)
    by_split: dict[str, list[Path]] = {}
    for path in folders:
        if path.name.lower() in SPLIT_FOLDERS:
            by_split.setdefault(SPLIT_FOLDERS[path.name.lower()], []).append(path)
    has_classes = any(below.is_dir() for path in by_split.get("train", []) for below in _list(scan, path))
    if not has_classes:
        _refuse_without_classes(scan, folders, by_split)
        return {"train": scan.root}
    for paths in by_split.values():
        if len(paths) > 1:
            names = " and ".join(path.name for path in paths)
            scan.problems.append(f"{names} are the same split. Keep one of them.")
    for path in folders:
        near = difflib.get_close_matches(path.name.lower(), SPLIT_FOLDERS, n=1, cutoff=0.75)
        if near and path.name.lower() not in SPLIT_FOLDERS:
            scan.problems.append(f"'{path.name}' beside train/ is no split. Did you mean '{near[0]}'?")
    return {split: by_split[split][0] for split in ("train", "val", "test") if split in by_split}


def _refuse_without_classes(scan: _Scan, folders: list[Path], by_split: dict[str, list[Path]]) -> None:
    """A class may be called "train"; but where all folders are called like splits, they are meant as splits."""
    if sum(map(len, by_split.values())) < len(folders):
        return
    there = ", ".join(f"{path.name}/" for path in folders)
    lack = "without class folders in train/" if "train" in by_split else "but no train/"
    raise UserError(str(scan.root), f"there is {there} {lack}. {_LAYOUT}")


def _find_classes(scan: _Scan, folder: Path) -> dict[str, list[Path]]:
    """Class name to picture files."""
    found: dict[str, list[Path]] = {}
    below = _list(scan, folder)
    strays = [path for path in below if is_picture_name(path.name) and not path.is_dir()]
    if strays:
        what = f"'{scan.name(strays[0])}'" + (f" and {len(strays) - 1} more" if len(strays) > 1 else "")
        scan.problems.append(f"{what}: outside of any class folder. Move pictures into their class.")
    folders = [path for path in below if path.is_dir()]
    if not folders and not strays:
        scan.problems.append(f"'{scan.name(folder)}' holds no class folders. Fill or remove it.")
    for path in folders:
        name = unicodedata.normalize("NFC", path.name)
        if name in found:
            scan.problems.append(f"two folders are called '{scan.name(path)}' in two Unicode spellings. Keep one.")
        everything = list(_walk(scan, path))
        found[name] = [file for file in everything if is_picture_name(file.name)]
        if not found[name]:
            scan.problems.append(f"class folder '{scan.name(path)}' holds no picture{_name_others(everything)}.")
    return found


def _name_others(files: list[Path]) -> str:
    endings = sorted({file.suffix.lower() or file.name for file in files})[:_SHOWN]
    return f", only {', '.join(endings)}; convert these to JPEG or PNG" if endings else "; fill or remove it"


def _make_split(scan: _Scan, by_class: dict[str, list[Path]], classes: list[str]) -> FileSplit:
    import numpy as np

    rows = sorted((scan.name(file), classes.index(name), file) for name, files in by_class.items() for file in files)
    for name, _, file in rows:
        _check(scan, name, file)
    labels = np.array([label for _, label, _ in rows], dtype=np.int64)
    return FileSplit(scan.root, [file for _, _, file in rows], [name for name, _, _ in rows], labels)


def _check(scan: _Scan, name: str, file: Path) -> None:
    """Sniff the first bytes now: a text file called .jpg must not stop a training an hour later."""
    if any("\ud800" <= letter <= "\udfff" for letter in name):
        scan.not_pictures.append(f"{name.encode(errors='replace').decode()!r}: its name is not UTF-8; rename it")
        return
    try:
        with open(file, "rb") as opened:
            reason = explain_no_picture(opened.read(_HEAD_BYTES))
    except OSError as error:
        reason = f"it can't be read ({error.strerror or error})"
    if reason:
        scan.not_pictures.append(f"'{name}' is no picture: {reason}")


def _list(scan: _Scan, folder: Path) -> list[Path]:
    """What a folder shows, sorted by name; links are followed only to files inside the root."""
    try:
        paths = sorted(Path(entry.path) for entry in os.scandir(folder))
    except OSError as error:
        raise UserError(str(folder), f"the folder can't be read: {error.strerror or error}.") from error
    visible = [path for path in paths if not path.name.startswith(".") and path.name.lower() not in _NEVER]
    return [path for path in visible if not path.is_symlink() or _allow_link(scan, path)]


def _allow_link(scan: _Scan, path: Path) -> bool:
    target = path.resolve()
    if not target.is_relative_to(scan.root):
        problem = f"'{scan.name(path)}' is a link that leads out of the folder. Copy what it points to."
    elif not target.exists():
        problem = f"'{scan.name(path)}' is a link to nothing. Remove it."
    elif target.is_dir():
        problem = f"'{scan.name(path)}' is a link to a folder of the set, whose pictures would count twice. Remove it."
    else:
        return True
    if problem not in scan.problems:
        scan.problems.append(problem)
    return False


def _walk(scan: _Scan, folder: Path) -> Iterator[Path]:
    for path in _list(scan, folder):
        if path.is_dir():
            yield from _walk(scan, path)
        else:
            yield path


def _raise_flat(scan: _Scan) -> None:
    files = _list(scan, scan.root)
    _raise_problems(scan)
    if any(is_picture_name(file.name) for file in files):
        raise UserError(str(scan.root), f"the pictures lie in it without class folders. {_LAYOUT}")
    state = "holds no pictures" if files else "is empty"
    raise UserError(str(scan.root), f"the folder {state}. {_LAYOUT}")


def _raise_problems(scan: _Scan) -> None:
    wrong = scan.not_pictures[:_SHOWN]
    if len(scan.not_pictures) > _SHOWN:
        more = len(scan.not_pictures) - _SHOWN
        wrong.append(f"... and {more} more; {len(scan.not_pictures)} files in all are no pictures")
    problems = scan.problems[:_MOST_PROBLEMS]
    if len(scan.problems) > _MOST_PROBLEMS:
        problems.append(f"... and {len(scan.problems) - _MOST_PROBLEMS} more problems of this kind")
    if problems or wrong:
        raise UserError(str(scan.root), *problems, *wrong)
