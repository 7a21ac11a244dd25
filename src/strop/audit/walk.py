"""Walk through a folder of pictures without stopping at what is wrong with it."""

from __future__ import annotations

import os
import unicodedata
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np

from ..data.formats import is_picture_name
from ..data.source import SPLIT_NAMES, SPLITS, guess_split, means_splits
from ..errors import UserError, suggest
from .collection import NO_LABEL, FolderCollection
from .findings import Finding, Item, make_finding

_NEVER = frozenset(["__macosx", "thumbs.db"])


def walk_folder(root: Path) -> tuple[FolderCollection, list[Finding]]:
    """The pictures below a folder, laid out as `open_source` wants them, and what it would refuse or pass over.

    Pictures that lie outside of any class are taken along without a label, so that they are looked at too.

    Raises:
        UserError: the folder can't be read, or there is no picture in it at all.
    """
    try:
        root = root.resolve(strict=True)
        os.listdir(root)
    except OSError as error:
        raise UserError(str(root), f"the folder can't be read: {error.strerror or error}.") from error
    walk = _Walk(root)
    for split, folder in walk.find_splits().items():
        walk.take_split(split, folder)
    if not walk.rows:
        raise UserError(str(root), "there is no picture in it. A data folder holds one folder a class: cats/1.jpg.")
    return walk.collect(), walk.report()


class _Walk:
    """What was met on the way.

    Attributes:
        rows: (split, class or None, relative path as the file system has it) of each picture.
        classes: class folders seen, by split.
        met: items of findings by kind.
    """

    def __init__(self, root: Path):
        self.root = root
        self.rows: list[tuple[str, str | None, str]] = []
        self.classes: dict[str, list[str]] = {}
        self.met: dict[str, list[Item]] = defaultdict(list)
        self.hidden: Counter[str] = Counter()
        self.others: Counter[str] = Counter()

    def note(self, kind: str, path: str | Path, note: str = "") -> None:
        self.met[kind].append(Item((self.show(path),), note))

    def show(self, path: str | Path) -> str:
        """The path below the root in Unicode NFC; bytes that are no UTF-8 as \\x codes."""
        text = os.path.relpath(path, self.root) if isinstance(path, Path) else path
        return unicodedata.normalize("NFC", os.fsencode(text).decode("utf-8", "backslashreplace"))

    def list(self, folder: Path) -> tuple[list[Path], list[Path]]:
        """(folders, files) that a folder shows, by name; links are followed only to files inside the root."""
        folders, files = [], []
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError as error:
            self.note("unreadable", folder, error.strerror or str(error))
            return folders, files
        for entry in entries:
            path = Path(entry.path)
            if entry.name.startswith(".") or entry.name.lower() in _NEVER:
                self.hidden[entry.name] += 1
            elif entry.is_symlink() and not self.allow_link(path):
                continue
            elif path.is_dir():
                folders.append(path)
            elif path.is_file():
                files.append(path)
            else:
                self.note("unreadable", path, "is neither a file nor a folder")
        return folders, files

    def allow_link(self, path: Path) -> bool:
        try:
            target = path.resolve()
            inside, there, folder = target.is_relative_to(self.root), target.exists(), target.is_dir()
        except (OSError, RuntimeError):  # RuntimeError: a loop of links, before Python 3.13
            inside, there, folder = True, False, False
        if not inside:
            self.note("link", path, "leads out of the folder; copy what it points to")
        elif not there:
            self.note("link", path, "leads to nothing; remove it")
        elif folder:
            self.note("link", path, "leads to a folder of the set, whose pictures would count twice; remove it")
        else:
            return True
        return False

    def find_splits(self) -> dict[str, Path]:
        """The folder of each split, by the rules of `open_source`: without train/CLASS/ the root itself is train."""
        folders, _ = _Walk(self.root).list(self.root)  # what it meets is met again, and told, in take_split
        named: dict[str, list[Path]] = defaultdict(list)
        for path in folders:
            if path.name.lower() in SPLIT_NAMES:
                named[SPLIT_NAMES[path.name.lower()]].append(path)
        if not any(_Walk(self.root).list(path)[0] for path in named.get("train", [])):
            if not folders:
                self.note("layout", ".", "there are no class folders: put each picture into the folder of its class")
            elif sum(map(len, named.values())) == len(folders):
                self.note("layout", ".", "there are folders for splits, but no class folders in train/")
            elif means_splits(folders):
                for path in folders:
                    self.note("layout", path, f"seems to be a split; call it {guess_split(path.name)}")
            return {"train": self.root}
        self.list(self.root)
        for split, paths in named.items():
            for path in paths[1:]:
                self.note("layout", path, f"is a second folder for {split}, beside {paths[0].name}; keep one")
        for path in folders:
            if path.name.lower() not in SPLIT_NAMES:
                meant = guess_split(path.name)
                guess = f"did you mean '{meant}'?" if meant else "only train/, val/ and test/ count here"
                self.note("layout" if meant else "passed-over", path, f"beside train/ is no split; {guess}")
        return {split: named[split][0] for split in SPLITS if split in named}

    def take_split(self, split: str, folder: Path) -> None:
        folders, files = self.list(folder)
        for file in files:
            if is_picture_name(file.name):
                self.note("stray", file)
                self.take(split, None, file)
            else:
                self.others[file.suffix.lower() or file.name] += 1
        self.classes[split] = []
        for path in folders:
            name = self.show(path.name)
            if name in self.classes[split]:
                self.note("layout", path, "is spelt in two Unicode ways; keep one of the two folders")
            else:
                self.classes[split].append(name)
            before = len(self.rows)
            endings = self.take_class(split, name, path)
            if len(self.rows) == before:
                shown = ", ".join(sorted(endings)[:5])
                self.note("empty-class", path, f"only {shown}; convert these to JPEG or PNG" if shown else "")

    def take_class(self, split: str, name: str, folder: Path) -> set[str]:
        """Take the pictures at any depth; gives the endings of the other files."""
        endings, waiting = set(), [folder]
        while waiting:
            folders, files = self.list(waiting.pop())
            waiting += folders
            for file in files:
                if is_picture_name(file.name):
                    self.take(split, name, file)
                else:
                    endings.add(self.show(file.suffix.lower() or file.name))
                    self.others[file.suffix.lower() or file.name] += 1
        return endings

    def take(self, split: str, label: str | None, file: Path) -> None:
        path = os.fspath(file)[len(os.path.join(self.root, "")) :]
        if any("\ud800" <= letter <= "\udfff" for letter in path):
            self.note("name", file)
        self.rows.append((split, label, path))

    def collect(self) -> FolderCollection:
        splits = list(self.classes)
        classes = sorted(self.classes["train"])
        # A class that train does not have still gets a number, after the others, so that its pictures are compared.
        extra = sorted({name for names in self.classes.values() for name in names} - set(classes))
        number = {name: i for i, name in enumerate([*classes, *extra])} | {None: NO_LABEL}
        rows = sorted((splits.index(split), self.show(path), number[label], path) for split, label, path in self.rows)
        return FolderCollection(
            self.root,
            [path for *_, path in rows],
            classes=[*classes, *extra],
            splits=splits,
            names=[name for _, name, _, _ in rows],
            split=np.array([split for split, *_ in rows], dtype=np.int8),
            label=np.array([label for _, _, label, _ in rows], dtype=np.int64),
        )

    def report(self) -> list[Finding]:
        classes = sorted(self.classes["train"])
        for split, names in self.classes.items():
            for name in sorted(set(names) - set(classes)):
                self.note("unknown-class", f"{split}/{name}", suggest(name, classes))
        if len(classes) == 1:
            self.note("layout", classes[0], "is the only class; telling apart needs at least two")
        for found, what in ((self.hidden, "hidden or left behind by a system"), (self.others, "no pictures by name")):
            if found:
                self.met["passed-over"].append(Item((), f"{_list_counts(found)}: {what}"))
        return [make_finding(kind, items) for kind, items in self.met.items() if items]


def _list_counts(found: Counter[str]) -> str:
    shown = [f"{os.fsencode(name).decode('utf-8', 'backslashreplace')} ({n:,})" for name, n in found.most_common(5)]
    return ", ".join(shown) + (f" and {len(found) - 5} more names" if len(found) > 5 else "")
