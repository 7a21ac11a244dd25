"""Numeric arrays out of MATLAB files (version 5), with their size looked at first."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import UserError

if TYPE_CHECKING:
    import numpy as np

LIMIT_VALUES = 1_000_000_000


def read_mat(file: Path, wanted: Mapping[str, int]) -> dict[str, np.ndarray]:
    """Read the named arrays of a file.

    Args:
        file: a .mat file.
        wanted: name to number of dimensions.
    Raises:
        UserError: it is no such file, an array is missing, is no array of numbers, or has more than 1e9 values.
    """
    from scipy.io import loadmat, whosmat

    try:
        shapes = {name: shape for name, shape, _ in whosmat(file)}
        _check(file, wanted, shapes)
        found = loadmat(file, variable_names=list(wanted))
    except UserError:
        raise
    except Exception as error:  # scipy raises ValueError, TypeError, zlib.error, MatReadError and more beside OSError
        raise UserError(str(file), f"can't be read as a MATLAB file ({error}). Fetch it again.") from error
    strange = [name for name in wanted if name not in found or found[name].dtype.kind not in "uif"]
    if strange:
        raise UserError(str(file), f"{', '.join(strange)} is no array of numbers. Fetch it again.")
    return {name: found[name] for name in wanted}


def _check(file: Path, wanted: Mapping[str, int], shapes: Mapping[str, tuple[int, ...]]) -> None:
    missing = [name for name in wanted if name not in shapes]
    if missing:
        raise UserError(str(file), f"{', '.join(missing)} is not in it. It holds: {', '.join(sorted(shapes))}.")
    for name, dimensions in wanted.items():
        if len(shapes[name]) != dimensions or math.prod(shapes[name]) > LIMIT_VALUES:
            raise UserError(str(file), f"{name} has shape {shapes[name]}; expected {dimensions} dimensions.")
