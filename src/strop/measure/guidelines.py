"""The four guidelines of ShuffleNetV2 as bytes of memory access on a network: where it pays for breaking them.

Source: Ma et al., "ShuffleNet V2: Practical Guidelines for Efficient CNN Architecture Design", ECCV 2018,
arXiv:1807.11164, section 2. In elements, with B multiply-accumulates on HW positions, a convolution moves
HW * (c_in + c_out) + B / HW, and no less than 2 * sqrt(HW * B) + B / HW.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass

from .recording import Operation, Recording

FLOAT = 4
WINDOWS = ("max_pool2d_with_indices", "max_pool2d", "avg_pool2d")
ELEMENT_WISE = {
    "activation": "leave out the one behind a block's last layer; a ReLU costs nothing where the runtime fuses it",
    "addition": "fewer shortcuts, or one that concatenates what is left untouched",
    "multiplication": "gates and scales only in the blocks that gain by them",
    "copy": "reorder less; a shuffle can be part of the layer before it",
    "normalisation": "none of those that look at the picture; a batch norm is folded away",
    "other": "less of it",
}
TITLES = {
    "G1": "unequal channels",
    "G2": "grouped convolutions",
    "G3": "parallel branches",
    "G4": "element-wise operations",
}


@dataclass(frozen=True)
class Finding:
    """One place that breaks a guideline.

    Attributes:
        where: a layer, a block, or a kind of operation.
        what: what is there.
        bytes: what it costs in memory access for one picture.
        change: what to write instead.
    """

    where: str
    what: str
    bytes: int
    change: str


def guidelines(recording: Recording, block_of: Callable[[str], str]) -> list[dict]:
    """For each guideline its cost in bytes, its share of all memory access, and the findings, dearest first.

    Args:
        block_of: path of a module to the block it lies in.
    """
    total = sum(op.memory_access for op in recording.operations) or 1
    found = {
        "G1": list(unequal_channels(recording)),
        "G2": list(grouped(recording)),
        "G3": list(branches(recording, block_of)),
        "G4": list(element_wise(recording)),
    }
    rows = []
    for name, findings in found.items():
        cost = sum(finding.bytes for finding in findings)
        ordered = sorted(findings, key=lambda finding: -finding.bytes)
        rows.append(
            {
                "guideline": name,
                "title": TITLES[name],
                "bytes": cost,
                "share": round(cost / total, 6),
                "findings": [asdict(finding) for finding in ordered],
            }
        )
    return rows


def unequal_channels(recording: Recording) -> Iterable[Finding]:
    """G1: equal widths move the fewest bytes for a number of multiply-accumulates.

    cost = 4 * HW * (c_in + c_out - 2 * sqrt(c_in * c_out)), for dense layers that keep the resolution. Layers that
    read the picture are left out, since its channels can't be chosen, and so is what works on a single position.
    """
    for op in recording.operations:
        about = op.layer
        if about is None or about["groups"] > 1 or recording.picture in op.inputs:
            continue
        (before, after), c_in, c_out = about["positions"], about["inputs"], about["outputs"]
        equal = math.sqrt(c_in * c_out)
        if before == after > 1 and c_in != c_out:
            cost = round(FLOAT * before * (c_in + c_out - 2 * equal))
            width = round(equal)
            change = f"{width} in, {width} out: the same MACs"
            yield Finding(op.module, f"{c_in} in, {c_out} out", cost, change)


def grouped(recording: Recording) -> Iterable[Finding]:
    """G2: groups spare multiply-accumulates, not activations; spent on fewer channels, these would move less.

    cost = 4 * (P_in * c_in + P_out * c_out - (P_in + P_out) * sqrt(c_in * c_out / g)), P positions: the excess over
    a dense layer of equal widths with the same multiply-accumulates. Depthwise convolutions count under G4, as in
    the paper.
    """
    for op in recording.operations:
        about = op.layer
        if about is None or about["groups"] == 1 or op.is_depthwise:
            continue
        (before, after), groups = about["positions"], about["groups"]
        dense = math.sqrt(about["inputs"] * about["outputs"] / groups)
        cost = before * about["inputs"] + after * about["outputs"] - (before + after) * dense
        what = f"{groups} groups, {about['inputs']} in, {about['outputs']} out"
        yield Finding(op.module, what, round(FLOAT * cost), f"one group of {round(dense)} channels: the same MACs")


def branches(recording: Recording, block_of: Callable[[str], str]) -> Iterable[Finding]:
    """G3: several small layers side by side read the same map several times, and joining them copies all of it.

    cost of a block = (readers - 1) * bytes of the map that they share + bytes that its concatenations move. What is
    not in bytes, idle cores between small kernels, is the `kernels` in the sentence; `--measure` shows it.
    """
    by_block: dict[str, list[Operation]] = {}
    for op in recording.operations:
        by_block.setdefault(block_of(op.module), []).append(op)
    for block, operations in by_block.items():
        readers: dict[int, list[Operation]] = {}
        for op in operations:
            if (op.layer is not None or op.name in WINDOWS) and op.inputs:
                readers.setdefault(op.inputs[0], []).append(op)
        shared = [group for group in readers.values() if len(group) > 1]
        again = sum(op.read for group in shared for op in group[1:])
        joined = [op for op in operations if op.kind == "concatenation" and len(op.inputs) > 1]
        cost = again + sum(op.memory_access for op in joined)
        if cost:
            count = max([*(len(group) for group in shared), *(len(op.inputs) for op in joined)])
            kernels = sum(op.layer is not None or op.name in WINDOWS for op in operations)
            what = f"{count} branches, {kernels} kernels"
            yield Finding(block, what, cost, "fewer and wider layers, one after the other")


def element_wise(recording: Recording) -> Iterable[Finding]:
    """G4: operations on single elements compute next to nothing and move whole maps; depthwise layers come close.

    Batch normalisation is left out: exporting folds it into the convolution before it.
    """
    for kind, change in ELEMENT_WISE.items():
        chosen = [op for op in recording.operations if op.kind == kind and op.name != "native_batch_norm"]
        if chosen:
            cost = sum(op.memory_access for op in chosen)
            yield Finding(kind, f"{len(chosen)} x {_names(chosen)}", cost, change)
    depthwise = [op for op in recording.operations if op.is_depthwise]
    if depthwise:
        cost = sum(op.memory_access for op in depthwise)
        intensity = sum(op.macs for op in depthwise) / cost
        what = f"{len(depthwise)} layers, {intensity:.1f} MACs a byte"
        yield Finding("depthwise convolution", what, cost, "fewer channels between the 1x1 layers around it")


def _names(operations: list[Operation]) -> str:
    """The operators by how often they ran, at most three."""
    names = [op.name.removeprefix("_safe").strip("_") for op in operations]
    return ", ".join(sorted(set(names), key=lambda name: -names.count(name))[:3])
