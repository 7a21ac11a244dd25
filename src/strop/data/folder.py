"""A folder with one folder a class, as it is or below train/, val/ and test/."""

from __future__ import annotations

import os
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice, pairwise
from pathlib import Path

from ..errors import UserError, suggest
from .files import open_files
from .formats import is_picture_name
from .hashes import HashStore
from .packed import PackedNames
from .source import SPLIT_NAMES, SPLITS, FileSplit, Source, guess_split, means_splits

_NEVER = frozenset(["__macosx", "thumbs.db"])
_LAYOUT = "A data folder holds one folder a class: cats/1.jpg, dogs/2.jpg; or train/cats/1.jpg, test/cats/2.jpg."
_SHOWN, _MOST_PROBLEMS = 5, 20
_MOST_LOOKED_AT = 10_000


@dataclass
class _Scan:
    """What a walk through the folder found; problems are gathered, so that all are reported at once."""

    root: Path
    problems: list[str] = field(default_factory=list)
    not_opened: list[str] = field(default_factory=list)
    count: int = 0  # of files that can't be opened; the first few are in the list

    def name(self, path: Path) -> str:
        return unicodedata.normalize("NFC", path.relative_to(self.root).as_posix())

    def path(self, path: str) -> str:
        """The relative path as the file system spells it."""
        return path[len(str(self.root)) :].lstrip("/")


def open_folder(root: Path, name: str | None = None, only: Sequence[str] = SPLITS) -> Source:
    """Find the classes, splits and picture files of a folder; decodes nothing, but looks at every file's first bytes.

    Hidden files and what operating systems leave behind are passed over. The class list comes from train.

    Args:
        root: the folder.
        name: of the source, for a named set that is a folder; its location is None then.
        only: the splits to look at, of train, val and test.
    Raises:
        UserError: with all problems at once: no class folders, an empty class, a class that train does not have,
            a file that can't be opened, a link that leads out of the folder.
    """
    root = root.resolve()
    scan = _Scan(root)
    folders = _find_splits(scan)
    found = {split: _find_classes(scan, folder) for split, folder in folders.items() if split in only}
    classes = sorted(found["train"])
    for split, by_class in found.items():
        for unknown in sorted(set(by_class) - set(classes)):
            place = scan.name(folders[split] / unknown)
            scan.problems.append(f"'{place}' is a class that train does not have. {suggest(unknown, classes)}")
    if len(classes) == 1:
        below = [path for path in _list(scan, folders["train"] / classes[0]) if path.is_dir()]
        hint = f" Are its folders the classes? Then give {folders['train'] / classes[0]}." if len(below) > 1 else ""
        scan.problems.append(f"there is only one class, '{classes[0]}'. Telling apart needs at least two.{hint}")
    _raise_problems(scan)
    store = HashStore(root)
    splits = {split: _make_split(scan, by_class, classes, store) for split, by_class in found.items()}
    _raise_problems(scan)
    own_name = unicodedata.normalize("NFC", root.name)
    return Source(name or own_name, None if name else str(root), tuple(classes), splits)


def _find_splits(scan: _Scan) -> dict[str, Path]:
    """The folder of each split; the root itself is train where there is no train/ with class folders in it."""
    folders = [path for path in _list(scan, scan.root) if path.is_dir()]
    if not folders:
        _raise_flat(scan)
    by_split: dict[str, list[Path]] = {}
    for path in folders:
        if path.name.lower() in SPLIT_NAMES:
            by_split.setdefault(SPLIT_NAMES[path.name.lower()], []).append(path)
    has_classes = any(below.is_dir() for path in by_split.get("train", []) for below in _list(scan, path))
    if not has_classes:
        _refuse_without_classes(scan, folders, by_split)
        return {"train": scan.root}
    for paths in by_split.values():
        if len(paths) > 1:
            names = " and ".join(path.name for path in paths)
            scan.problems.append(f"{names} are the same split. Keep one of them.")
    for path in folders:
        meant = guess_split(path.name)
        if meant and path.name.lower() not in SPLIT_NAMES:
            scan.problems.append(f"'{path.name}' beside train/ is no split. Did you mean '{meant}'?")
    return {split: by_split[split][0] for split in SPLITS if split in by_split}


def _refuse_without_classes(scan: _Scan, folders: list[Path], by_split: dict[str, list[Path]]) -> None:
    """A class may be called "train"; but where all folders are called like splits, they are meant as splits."""
    there = ", ".join(f"{path.name}/" for path in folders)
    if sum(map(len, by_split.values())) == len(folders):
        lack = "without class folders in train/" if "train" in by_split else "but no train/"
        raise UserError(str(scan.root), f"there is {there} {lack}. {_LAYOUT}{_hint_prefix(scan.root)}")
    if means_splits(folders):
        names = ", ".join(f"'{path.name}' {guess_split(path.name)}" for path in folders)
        raise UserError(str(scan.root), f"there is {there} with folders in them, but no train/. Call {names}.")


def _find_classes(scan: _Scan, folder: Path) -> dict[str, PackedNames]:
    """Class name to the relative paths of its picture files."""
    found: dict[str, PackedNames] = {}
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
        others: Counter[str] = Counter()
        found[name] = PackedNames(_find_pictures(scan, path, others))
        if not found[name]:
            scan.problems.append(f"class folder '{scan.name(path)}' holds no picture{_name_others(others)}.")
    return found


def _find_pictures(scan: _Scan, folder: Path, others: Counter[str]) -> Iterator[str]:
    """Paths of the pictures at any depth; the endings of other files are counted."""
    for path in _walk(scan, folder):
        if is_picture_name(path):
            yield scan.path(path)
        else:
            others[os.path.splitext(path)[1].lower() or os.path.basename(path)] += 1


def _name_others(others: Counter[str]) -> str:
    endings = sorted(others)[:_SHOWN]
    return f", only {', '.join(endings)}; convert these to JPEG or PNG" if endings else "; fill or remove it"


def _make_split(scan: _Scan, by_class: dict[str, PackedNames], classes: list[str], store: HashStore) -> FileSplit:
    """One split in the order of its names; a class at a time, so that no list of all names is ever made."""
    import numpy as np

    # No class name holds a "/", so the order of "class/" is that of all names below it.
    ordered = sorted(by_class, key=lambda name: name + "/")
    rows = [_sort_names(scan, by_class[name]) for name in ordered]
    numbers = [classes.index(name) for name in ordered]
    labels = np.repeat(np.array(numbers, dtype=np.int64), [len(names) for names, _ in rows])
    names = PackedNames.join([names for names, _ in rows])
    paths = None if all(paths is None for _, paths in rows) else PackedNames.join([p or n for n, p in rows])
    split, wrong = open_files(scan.root, names, labels, paths=paths, store=store)
    for i, reason in wrong:
        scan.count += 1
        if len(scan.not_opened) < _SHOWN:
            shown = os.fsencode(names[i]).decode("utf-8", "backslashreplace")
            scan.not_opened.append(f"'{shown}': {reason}.")
    return split


def _sort_names(scan: _Scan, paths: PackedNames) -> tuple[PackedNames, PackedNames | None]:
    """Names in Unicode NFC, sorted, and beside them the paths where these are spelt differently."""
    listed = list(paths)
    if all(map(str.isascii, listed)):
        return PackedNames(sorted(listed)), None
    rows = sorted((unicodedata.normalize("NFC", path), path) for path in listed)
    for (name, _), (after, _) in pairwise(rows):
        if name == after:
            scan.problems.append(f"two files are called '{name}' in two Unicode spellings. Keep one.")
    return PackedNames(name for name, _ in rows), PackedNames(path for _, path in rows)


def _list(scan: _Scan, folder: Path) -> list[Path]:
    """What a folder shows, sorted by name; links are followed only to files inside the root."""
    return [folder / name for name, _ in _entries(scan, os.fspath(folder))]


def _entries(scan: _Scan, folder: str) -> list[tuple[str, bool]]:
    """Name and whether it is a folder; only these are kept of each entry, since a folder may hold a million."""
    try:
        with os.scandir(folder) as entries:
            seen = sorted((entry.name, entry.is_symlink(), entry.is_dir(follow_symlinks=False)) for entry in entries)
    except OSError as error:
        raise UserError(folder, f"the folder can't be read: {error.strerror or error}.") from error
    visible = (row for row in seen if not row[0].startswith(".") and row[0].lower() not in _NEVER)
    return [(name, is_folder) for name, link, is_folder in visible if not link or _allow_link(scan, Path(folder, name))]


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


def _walk(scan: _Scan, folder: Path) -> Iterator[str]:
    """Paths of all files below a folder; with a stack of its own, since folders may be nested by the thousand."""
    waiting = [os.fspath(folder)]
    while waiting:
        here = waiting.pop()
        for name, is_folder in _entries(scan, here):
            path = f"{here}/{name}"
            if is_folder:
                waiting.append(path)
            else:
                yield path


def _raise_flat(scan: _Scan) -> None:
    files = _list(scan, scan.root)
    _raise_problems(scan)
    if any(is_picture_name(file.name) for file in files):
        raise UserError(str(scan.root), f"the pictures lie in it without class folders. {_LAYOUT}")
    state = "holds no pictures" if files else "is empty"
    raise UserError(str(scan.root), f"the folder {state}. {_LAYOUT}{_hint_prefix(scan.root)}")


def _hint_prefix(root: Path) -> str:
    """What to write where the folder holds pictures in a form that has a prefix of its own."""
    endings = {path.suffix for path in islice(chain(root.glob("*"), root.glob("*/*")), _MOST_LOOKED_AT)}
    if ".tar" in endings:
        return f" Tar shards are read with wds:{root}"
    return f" A saved set of Hugging Face's is read with hf:{root}" if endings & {".arrow", ".parquet"} else ""


def _raise_problems(scan: _Scan) -> None:
    wrong = list(scan.not_opened)
    if scan.count > len(wrong):
        wrong.append(f"... and {scan.count - len(wrong)} more; {scan.count} files in all can't be opened")
    problems = scan.problems[:_MOST_PROBLEMS]
    if len(scan.problems) > _MOST_PROBLEMS:
        problems.append(f"... and {len(scan.problems) - _MOST_PROBLEMS} more problems of this kind")
    if problems or wrong:
        raise UserError(str(scan.root), *problems, *wrong)
