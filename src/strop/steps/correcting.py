"""Equalisation and bias correction: as asked for, or kept where they help on validation pictures."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import product

import numpy as np

from ..quantize.correct import mean_inputs
from ..quantize.equalize import equalize
from ..quantize.ranges import observe, read_ranges
from .quantizing import Judge, Writer
from .step import log


def apply_corrections(
    writer: Writer,
    judge: Judge | None,
    batches: Callable[[], Iterable[np.ndarray]],
    *,
    calibrator: str,
    bits: int,
    wanted: tuple[str, str],
) -> dict:
    """Give the writer the network and the means that it is to use; returns what was tried and kept.

    Args:
        batches: gives the calibration pictures, normalised, as often as it is called.
        wanted: equalisation and bias correction, each "true", "false" or "auto": whichever has the highest accuracy on
            validation pictures, then the lowest loss, then the fewer changes. Without a judge "auto" is "false".
    """
    choices = [{"true": [True], "false": [False], "auto": [False, True] if judge else [False]}[each] for each in wanted]
    prepared = {False: (writer.prepared, writer.ranges)}
    if True in choices[0]:
        target = writer.prepared.with_name("equalized.onnx")
        pairs = equalize(writer.prepared, target)
        if pairs:
            prepared[True] = target, read_ranges(observe(target, batches()), calibrator)
        else:
            choices[0] = [False]
            log.info("  no layers of this network can be equalised")
    means = {}
    if True in choices[1]:
        means = {which: mean_inputs(prepared[which][0], writer.layers, batches()) for which in choices[0]}

    def use(equalized: bool, corrected: bool) -> None:
        writer.prepared, writer.ranges = prepared[equalized]
        writer.means = means[equalized] if corrected else None

    tried = []
    for combination in product(*choices):
        use(*combination)
        scores = judge.score(writer.write(writer.uniform(bits))) if judge is not None else {"accuracy": 0, "loss": 0}
        tried.append(dict(zip(("equalize", "bias_correction"), combination, strict=True)) | scores)
    best = min(tried, key=lambda row: (-row["accuracy"], row["loss"]))
    kept = best["equalize"], best["bias_correction"]
    use(*kept)
    words = [word for word, is_kept in zip(("equalised layers", "corrected biases"), kept, strict=True) if is_kept]
    if len(tried) > 1:
        log.info("  the file does best on them with %s", " and ".join(words) or "layers and biases as they are")
    return {"equalize": kept[0], "bias_correction": kept[1]} | ({"corrections": tried} if len(tried) > 1 else {})
