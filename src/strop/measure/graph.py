"""A network as boxes to draw: its blocks in order, and in each the layers and where branches meet."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace

from .layers import Layer
from .recording import Operation, Recording

INPUT = -1
POOLS = {"max_pool2d_with_indices": "max pool", "max_pool2d": "max pool", "avg_pool2d": "average pool"}
MERGES = {"addition": "+", "multiplication": "x", "concatenation": "cat"}


@dataclass(frozen=True)
class Node:
    """A layer, a pooling, an attention, or a place where branches meet.

    Attributes:
        kind: "conv", "depthwise", "linear", "pool", "attention" or "merge".
        label: such as "3x3 /2"; detail: such as the number of channels.
    """

    kind: str
    label: str
    detail: str = ""


@dataclass
class Box:
    """A block, or a layer that lies in none.

    Attributes:
        count: how many equal boxes in a row this one stands for; `parameters` are those of all of them.
        stage, last_stage: of the first and of the last of them.
        edges: pairs of nodes; `INPUT` stands for what comes into the box.
        reads: the boxes whose results it takes.
    """

    name: str
    kind: str
    stage: str
    output: tuple[int, ...]
    parameters: int
    macs: int
    count: int = 1
    last_stage: str = ""
    nodes: list[Node] = field(default_factory=list)
    edges: list[tuple[int, int]] = field(default_factory=list)
    reads: list[int] = field(default_factory=list)

    def describe(self) -> dict:
        """As JSON values."""
        return asdict(self)


def boxes(
    recording: Recording, rows: Sequence[Layer], box_of: Callable[[str], str], stage_of: Mapping[str, str]
) -> list[Box]:
    """The boxes from input to output; what only normalises, activates or copies is no node and no box of its own.

    Args:
        rows: the layers, folded to blocks.
        box_of: path of a module to the row it lies in.
        stage_of: name of a row to its stage, where it has one.
    """
    drawn: dict[str, _Tracer] = {}
    makers: dict[int, str] = {}
    for op in recording.operations:
        name = box_of(op.module)
        drawn.setdefault(name, _Tracer()).add(op, makers)
        for value in op.outputs:
            makers[value] = name
    found: list[Box] = []
    places: dict[str, int] = {}
    spare, stage = 0, ""
    for row in rows:
        tracer = drawn.get(row.name, _Tracer())
        stage = stage_of.get(row.name, stage)
        if tracer.nodes:
            places[row.name] = len(found)
            found.append(Box(row.name, row.kind, stage, row.output, row.parameters + spare, row.macs))
            found[-1].nodes, found[-1].edges = tracer.nodes, sorted(tracer.edges)
            spare = 0
        else:
            if tracer.from_boxes:
                places[row.name] = max((places[name] for name in tracer.from_boxes if name in places), default=0)
            if found:
                found[-1].parameters += row.parameters
            else:
                spare += row.parameters
    for name, tracer in drawn.items():
        if tracer.nodes:
            here = places[name]
            found[here].reads = sorted({places[n] for n in tracer.from_boxes if n in places and places[n] < here})
    return _collapse(found)


class _Tracer:
    """The nodes and edges of one box, as its operations come."""

    def __init__(self):
        self.nodes: list[Node] = []
        self.edges: set[tuple[int, int]] = set()
        self.made_by: dict[int, int | None] = {}  # value -> node; None for what comes from parameters only
        self.from_boxes: set[str] = set()

    def add(self, op: Operation, makers: Mapping[int, str]) -> None:
        self.from_boxes |= {makers[value] for value in op.inputs if value not in self.made_by and value in makers}
        makers_here = dict.fromkeys(self.made_by.get(value, INPUT) for value in op.inputs)
        sources = [source for source in makers_here if source is not None]
        node = _node(op, len(sources)) if sources else None
        place = sources[0] if sources else None
        if op.kind == "matmul":  # both products of an attention are one node
            first = next((s for s in sources if s != INPUT and self.nodes[s].kind == "attention"), None)
            if first is not None:
                place, node = first, None
        if node is not None:
            self.nodes.append(node)
            place = len(self.nodes) - 1
            self.edges |= {(source, place) for source in sources}
        for value in op.outputs:
            self.made_by[value] = place


def _node(op: Operation, sources: int) -> Node | None:
    if op.layer is not None:
        return _layer_node(op)
    if op.kind == "matmul":
        return Node("attention", "attention")
    if op.kind == "pooling":
        return Node("pool", POOLS.get(op.name, "global average" if op.name == "mean" else "adaptive pool"))
    if op.kind in MERGES and sources > 1:
        return Node("merge", MERGES[op.kind])
    return None


def _layer_node(op: Operation) -> Node:
    about = op.layer
    channels = f"{about['inputs']:,} to {about['outputs']:,}"
    if op.kind == "linear":
        return Node("linear", "linear", channels)
    stride = max(about["stride"])
    label = "x".join(map(str, about["kernel"])) + (f" /{stride}" if stride > 1 else "")
    if op.is_depthwise:
        return Node("depthwise", f"dw {label}", f"{about['outputs']:,}")
    groups = f", {about['groups']} groups" if about["groups"] > 1 else ""
    return Node("conv", label + groups, channels)


def _collapse(found: Sequence[Box]) -> list[Box]:
    """Equal boxes in a row become one with a count."""
    kept: list[Box] = []
    moved: dict[int, int] = {}
    for place, box in enumerate(found):
        last = kept[-1] if kept else None
        is_next = len(box.nodes) > 1 and box.reads == [place - 1]
        if last is not None and is_next and _looks(last) == _looks(box):
            last.count, last.parameters, last.last_stage = last.count + 1, last.parameters + box.parameters, box.stage
        else:
            kept.append(replace(box, last_stage=box.stage))
        moved[place] = len(kept) - 1
    for place, box in enumerate(kept):
        box.reads = sorted({moved[n] for n in box.reads if moved[n] != place})
    return kept


def _looks(box: Box) -> tuple:
    """What equal boxes share; parameters of a norm behind the last of them may be counted with it."""
    return re.sub(r"\d+", "N", box.name), box.kind, box.output, box.macs, box.nodes, box.edges
