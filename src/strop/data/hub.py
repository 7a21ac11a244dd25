"""Data sets of Hugging Face: from the hub by name, or saved on disk; read row by row where Arrow has mapped them.

Only the stored bytes of pictures are taken, and decoded by `picture.py` under its limits; no code of a data set is run
(`datasets` from 4 on has no loading scripts).
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
import os
import re
import struct
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO
from urllib.parse import parse_qsl

from ..errors import UserError, suggest
from ..fetching import hub_if_it_answers
from .classes import name_classes
from .columns import Columns, find_columns, read_labels
from .encoded import EncodedSplit
from .hashes import HASH_BYTES, stamp_files
from .home import cache_home
from .packed import PackedNames
from .patterns import group_by_split
from .source import SPLIT_NAMES, SPLITS, Source

if TYPE_CHECKING:
    import numpy as np

_NAME = re.compile(r"[\w.-]+(/[\w.-]+)?")
_OPTIONS = ("image", "label")
_LARGEST_STATE = 10_000_000
log = logging.getLogger("strop")


class ArrowSplit(EncodedSplit):
    """Pictures in a column of an Arrow table, mapped into memory.

    Args:
        where: of the set, for messages.
        pictures: the column's chunks, binary.
        names: N names.
        labels: (N,) int64.
        rows: (N,) int64, the pictures' rows in the column.
        stamps: (N, 16) uint8, as for `FileSplit`, or None.
        root: what the hashes are remembered under, or None.
    """

    def __init__(
        self,
        where: str,
        pictures: Sequence[Any],
        names: PackedNames,
        labels: np.ndarray,
        rows: np.ndarray,
        *,
        stamps: np.ndarray | None,
        root: Path | None,
    ):
        import numpy as np

        self._where, self.pictures, self.names, self.labels, self.rows = where, pictures, names, labels, rows
        self.stamps, self.root = stamps, root
        self._ends = np.cumsum([len(chunk) for chunk in pictures])

    def open(self, i: int) -> BinaryIO:
        row = int(self.rows[i])
        chunk = int(self._ends.searchsorted(row, side="right"))
        content = self.pictures[chunk][row - int(self._ends[chunk])].as_py()  # counted from the chunk's end
        if content is None:
            raise OSError("the row holds no picture")
        return io.BytesIO(content)

    def where(self, i: int) -> str:
        return f"{self._where}, {self.names[i]}"

    def take(self, indices: np.ndarray, labels: np.ndarray) -> ArrowSplit:
        stamps = None if self.stamps is None else self.stamps[indices]
        names, rows = self.names.take(indices), self.rows[indices]
        return ArrowSplit(self._where, self.pictures, names, labels, rows, stamps=stamps, root=self.root)


def open_hub(text: str) -> Source:
    """Open `NAME[:CONFIG]` of the hub, or a path: a set saved by `save_to_disk`, or Parquet or Arrow files.

    `?image=COLUMN&label=COLUMN` behind it names the columns where there are several. Splits called train, validation
    (val, valid) and test are taken, others passed over.

    Raises:
        UserError: `datasets` is not installed, the set can't be loaded, its columns are not to be found or named wrong,
            a picture without a label, a class that train does not have.
    """
    where = f"hf:{text}"
    place, _, query = text.partition("?")
    options = _read_options(query, where)
    path = Path(place).expanduser()
    if path.exists():
        path = Path(os.path.abspath(path))
        name, location, tables = path.stem or "set", f"hf:{path}", _open_local(path, where)
    else:
        name, location, tables = place.partition(":")[0], f"hf:{place}", _load(place, where)
    tables = _map_splits(tables, where)
    columns = find_columns(tables["train"], where, **options)
    labels = {split: read_labels(table, columns, f"{where}, {split}") for split, table in tables.items()}
    labels = {split: found for split, found in labels.items() if found is not None}
    if "train" not in labels:
        raise UserError(where, f"column '{columns.label}' holds no label in train. Give another: {where}?label=COLUMN")
    known = {split: {found.texts[i] for i in set(found.numbers.tolist())} for split, found in labels.items()}
    classes = name_classes(known, columns.names, where, f"column '{columns.label}'")
    number = {label: i for i, label in enumerate(classes)}
    splits = {
        split: _make_split(where, split, tables[split], columns, found.number(number))
        for split, found in labels.items()
    }
    return Source(name, f"{location}?{query}" if query else location, tuple(classes.values()), splits)


def _read_options(query: str, where: str) -> dict[str, str]:
    pairs = dict(parse_qsl(query, keep_blank_values=True))
    wrong = [name for name in pairs if name not in _OPTIONS] or ([query] if query and not pairs else [])
    if wrong:
        raise UserError(where, f"'{wrong[0]}' is not an option. {suggest(wrong[0], _OPTIONS)}")
    return pairs


def _import_datasets(where: str):
    try:
        import datasets
    except ImportError:
        raise UserError(where, "needs the package datasets. Install it: pip install 'strop[hf]'") from None
    if int(datasets.__version__.partition(".")[0]) < 4:
        raise UserError(where, f"datasets {datasets.__version__} may run code of a set. Install 4.0 or later.")
    if not sys.stderr.isatty():
        datasets.disable_progress_bars()
    return datasets


def _load(place: str, where: str) -> Mapping[str, Any]:
    """From the hub, or from what was downloaded before."""
    name, _, config = place.partition(":")
    if not _NAME.fullmatch(name):
        raise UserError(where, f"'{place}' is no path that is there, and no name of the hub. Write hf:NAME[:CONFIG].")
    datasets = _import_datasets(where)
    with hub_if_it_answers() as silent:
        try:
            loaded = datasets.load_dataset(name, config or None)
        except Exception as error:  # the hub, the network and the builders raise what they like
            raise _not_loaded(where, " ".join(silent) or error) from error
    return _as_dict(loaded)


def _open_local(path: Path, where: str) -> Mapping[str, Any]:
    datasets = _import_datasets(where)
    saved = path.is_dir() and any((path / name).is_file() for name in ("dataset_dict.json", "state.json"))
    try:
        if saved:
            for state in (*path.glob("state.json"), *path.glob("*/state.json")):
                _check_state(state)
            return _as_dict(datasets.load_from_disk(str(path)))
        files = [path] if path.is_file() else _find_files(path)
        endings = {file.suffix for file in files}
        if len(endings) != 1 or not endings <= {".parquet", ".arrow"}:
            what = f"holds files that end in {' and '.join(sorted(endings))}" if endings else "holds no such set"
            raise UserError(where, f"{what}. Give a folder of save_to_disk, or one of .parquet or .arrow files.")
        grouped = group_by_split(files, where)
        if endings == {".arrow"}:
            read, join = datasets.Dataset.from_file, datasets.concatenate_datasets
            return {split: join([read(str(file)) for file in group]) for split, group in grouped.items()}
        named = {split: [str(file) for file in group] for split, group in grouped.items()}
        return _as_dict(datasets.load_dataset("parquet", data_files=named, cache_dir=str(cache_home() / "datasets")))
    except UserError:
        raise
    except Exception as error:  # damaged files end in errors of many kinds
        raise _not_loaded(where, error) from error


def _find_files(folder: Path) -> list[Path]:
    """The Parquet or Arrow files of a folder, of its `data` and of its folders named like splits."""
    below = [folder, *(path for path in sorted(folder.iterdir()) if path.name.lower() in {"data", *SPLIT_NAMES})]
    return [file for path in below for end in ("parquet", "arrow") for file in sorted(path.glob(f"*.{end}"))]


def _check_state(state: Path) -> None:
    """The names of data files are joined to the folder by `datasets`; none may lead out of it."""
    if state.stat().st_size > _LARGEST_STATE:
        raise UserError(str(state), f"is larger than {_LARGEST_STATE:,} bytes. Save the set again.")
    listed = json.loads(state.read_text(encoding="utf-8")).get("_data_files", [])
    for name in (entry["filename"] for entry in listed):
        if Path(name).name != name:
            raise UserError(str(state), f"'{name}' is no name of a file in its folder. Save the set again.")


def _as_dict(loaded: Any) -> Mapping[str, Any]:
    return loaded if isinstance(loaded, Mapping) else {"train": loaded}


def _not_loaded(where: str, error: Exception | str) -> UserError:
    reason = " ".join(str(error).split())[:300] or type(error).__name__
    return UserError(where, f"can't be loaded ({reason}). Check the name, the network, or the files.")


def _map_splits(tables: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Tables by our names of splits."""
    mapped: dict[str, Any] = {}
    for name, table in tables.items():
        split = SPLIT_NAMES.get(str(name).lower())
        if split is None or split in mapped or not len(table):
            log.warning("%s: split '%s' is passed over", where, name)
        else:
            mapped[split] = table if table._indices is None else table.flatten_indices()
    if "train" not in mapped:
        raise UserError(where, f"has no pictures in train. Its splits: {', '.join(map(str, tables)) or 'none'}.")
    return {split: mapped[split] for split in SPLITS if split in mapped}


def _make_split(where: str, split: str, table: Any, columns: Columns, labels: np.ndarray) -> ArrowSplit:
    import numpy as np

    names = PackedNames(f"{split}/{i:08d}" for i in range(len(table)))
    files = [file["filename"] for file in table.cache_files]
    stamps = _stamp(files, len(table))
    root = Path(files[0]).parent if files else None
    pictures = columns.pictures(table, f"{where}, {split}")
    return ArrowSplit(where, pictures, names, labels, np.arange(len(table)), stamps=stamps, root=root)


def _stamp(files: list[str], n: int) -> np.ndarray | None:
    """The state of all files and the row; None where they must not be remembered."""
    import numpy as np

    states, _ = stamp_files("", (os.fsencode(os.path.abspath(file)).lstrip(b"/") for file in files))
    if not files or not states.any(axis=1).all():
        return None
    state, stamps = hashlib.blake2b(states.tobytes(), digest_size=HASH_BYTES).digest(), bytearray()
    for row in range(n):
        stamps += hashlib.blake2b(state + struct.pack("<q", row), digest_size=HASH_BYTES).digest()
    return np.frombuffer(stamps, np.uint8).reshape(-1, HASH_BYTES)
