"""Draw a network as SVG: blocks from top to bottom, the layers of each from left to right."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any

from .numbers import percent, significant

WIDTH, LEFT, RIGHT = 980, 116, 24
HEADER, LANE, PAD, GAP, ARC = 40, 44, 12, 22, 11
CHIP_HEIGHT, MAX_LEVELS, MAX_LANES, MAX_ARCS = 34, 12, 8, 24
INPUT = -1

STYLE = """
text { font-family: system-ui, 'Segoe UI', 'DejaVu Sans', sans-serif; font-size: 13px; fill: #1c2430; }
.title { font-size: 18px; font-weight: 600; } .name { font-weight: 600; } .faint { fill: #5b6472; }
.small { font-size: 11px; } .middle { text-anchor: middle; } .end { text-anchor: end; }
.bg { fill: #ffffff; } .box { fill: #f5f6f8; stroke: #c9ced6; } .stage { fill: #e9ecf0; } .bar { fill: #d9dde3; }
.share { fill: #0072b2; } .edge { fill: none; stroke: #5b6472; stroke-width: 1.3; }
.skip { fill: none; stroke: #d55e00; stroke-width: 1.6; } .head { fill: #5b6472; } .skiphead { fill: #d55e00; }
.conv { fill: #cfe3f2; stroke: #0072b2; } .depthwise { fill: #cdebe2; stroke: #009e73; }
.linear { fill: #f3dcea; stroke: #b0578b; } .pool { fill: #e2e5ea; stroke: #7b8290; }
.attention { fill: #fbe6c0; stroke: #c98200; } .merge { fill: #ffffff; stroke: #5b6472; }
@media (prefers-color-scheme: dark) {
text { fill: #e6e9ee; } .faint { fill: #a3abb8; } .bg { fill: #14181e; } .box { fill: #1d232b; stroke: #434c59; }
.stage { fill: #262d37; } .bar { fill: #39424e; } .share { fill: #56b4e9; } .edge { stroke: #a3abb8; }
.head { fill: #a3abb8; } .skip { stroke: #ff9a52; } .skiphead { fill: #ff9a52; }
.conv { fill: #123a55; stroke: #56b4e9; } .depthwise { fill: #0e4034; stroke: #3ccf9f; }
.linear { fill: #4a2440; stroke: #dd8fbe; } .pool { fill: #303844; stroke: #8b94a3; }
.attention { fill: #4d3a10; stroke: #eab54a; } .merge { fill: #14181e; stroke: #a3abb8; }
}
"""
KINDS = {
    "conv": "convolution",
    "depthwise": "depthwise",
    "linear": "linear",
    "attention": "attention",
    "pool": "pooling",
    "merge": "branches meet",
}


def draw_diagram(info: Mapping[str, Any], boxes: Sequence[Mapping[str, Any]]) -> str:
    """The SVG text, readable on light and on dark ground.

    Args:
        info: what `strop info` found: model, input_size, parameters, macs.
        boxes: as `measure.graph` describes them.
    """
    heights = [_height(box) for box in boxes]
    tops = [70 + sum(heights[:place]) + GAP * place for place in range(len(boxes))]
    total = (tops[-1] + heights[-1] if boxes else 70) + 64
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {total}" width="{WIDTH}" height="{total}" '
        f'role="img" aria-label="{escape(info["model"])}">',
        f"<style>{STYLE}</style>",
        _marker("arrow", "head") + _marker("skiparrow", "skiphead"),
        f'<rect class="bg" width="{WIDTH}" height="{total}"/>',
        *_title(info),
        *_stages(boxes, tops, heights),
    ]
    far = _far(boxes)
    for place, box in enumerate(boxes):
        if place:
            middle = (LEFT + WIDTH - RIGHT) / 2
            parts.append(_path(f"M{middle} {tops[place] - GAP + 2}V{tops[place] - 3}"))
        parts += _box(box, tops[place], heights[place], info["parameters"] or 1, tells_reads=len(far) > MAX_ARCS)
    parts += _long_arcs(far if len(far) <= MAX_ARCS else [], tops, heights)
    parts += _legend(boxes, total - 26)
    return "\n".join([*parts, "</svg>\n"])


def _marker(name: str, style: str) -> str:
    return (
        f'<marker id="{name}" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        f'<path class="{style}" d="M0 0.5 8 4 0 7.5z"/></marker>'
    )


def _text(x: float, y: float, text: str, style: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{style}">{escape(text)}</text>'


def _path(d: str, *, skip: bool = False) -> str:
    style, arrow = ("skip", "skiparrow") if skip else ("edge", "arrow")
    return f'<path class="{style}" d="{d}" marker-end="url(#{arrow})"/>'


def _title(info: Mapping[str, Any]) -> Iterator[str]:
    size = "x".join(map(str, info["input_size"]))
    yield _text(LEFT, 32, info["model"], "title")
    counted = f"{size} pixels, {info['parameters']:,} parameters, {significant(info['macs'] / 1e9)} G MACs"
    yield _text(LEFT, 53, counted, "faint")


def _stages(boxes: Sequence[Mapping[str, Any]], tops: Sequence[int], heights: Sequence[int]) -> Iterator[str]:
    """A band at the left for each run of boxes of one stage."""
    start = 0
    for place in range(1, len(boxes) + 1):
        if place == len(boxes) or boxes[place]["stage"] != boxes[start]["stage"]:
            top, bottom = tops[start], tops[place - 1] + heights[place - 1]
            if boxes[start]["stage"]:
                yield f'<rect class="stage" x="14" y="{top}" width="86" height="{bottom - top}" rx="5"/>'
                yield _text(57, (top + bottom) / 2 + 4, _stage_name(boxes[start]), "middle")
            start = place


def _stage_name(box: Mapping[str, Any]) -> str:
    """A pile of several stages, such as the blocks of a ViT, names the first and the last."""
    first, last = box["stage"], box["last_stage"]
    return first if first == last else f"{first} to {last.removeprefix('layer')}"


def _box(box: Mapping[str, Any], top: int, height: int, parameters: int, *, tells_reads: bool) -> Iterator[str]:
    width = WIDTH - LEFT - RIGHT
    for copy in range(min(2, box["count"] - 1), 0, -1):  # a pile for several equal ones
        yield f'<rect class="box" x="{LEFT + 4 * copy}" y="{top + 4 * copy}" width="{width}" height="{height}" rx="6"/>'
    yield f'<rect class="box" x="{LEFT}" y="{top}" width="{width}" height="{height}" rx="6"/>'
    times = f"{box['count']} x " if box["count"] > 1 else ""
    name = box["name"] or "(network)"
    kind = box["kind"]
    if tells_reads and len(box["reads"]) > 1:
        kind += f", reads {len(box['reads'])} boxes"
    yield (
        f'<text x="{LEFT + 12}" y="{top + 19}"><tspan class="name">{escape(times + name)}</tspan>'
        f'<tspan class="faint" dx="8">{escape(kind)}</tspan></text>'
    )
    held = box["parameters"]
    said = "x".join(f"{length:,}" for length in box["output"])
    if held:
        said += f",  {held:,} parameters, {percent(held / parameters)} %"
        x, share = WIDTH - RIGHT - 112, min(1.0, held / parameters)
        yield f'<rect class="bar" x="{x}" y="{top + 26}" width="100" height="4" rx="2"/>'
        yield f'<rect class="share" x="{x}" y="{top + 26}" width="{max(1.0, 100 * share):.1f}" height="4" rx="2"/>'
    yield _text(WIDTH - RIGHT - 12, top + 19, said, "end faint")
    if len(box["nodes"]) > 1:
        yield from _inside(box, top)
    elif box["nodes"]:
        node = box["nodes"][0]
        yield f'<rect class="{node["kind"]}" x="{LEFT + 12}" y="{top + 27}" width="10" height="10" rx="2"/>'
        yield _text(LEFT + 28, top + 36, ", ".join(filter(None, (node["label"], node["detail"]))), "small faint")


def _height(box: Mapping[str, Any]) -> int:
    if len(box["nodes"]) < 2:
        return HEADER + 4
    layout = _Layout(box)
    if not layout.fits:
        return HEADER + 20
    return HEADER + layout.headroom + LANE * layout.lanes + layout.footroom + PAD


def _inside(box: Mapping[str, Any], top: int) -> Iterator[str]:
    layout = _Layout(box)
    if not layout.fits:
        layers = sum(node["kind"] != "merge" for node in box["nodes"])
        yield _text(LEFT + 12, top + 46, f"{layers} layers in up to {layout.lanes} branches", "small faint")
        return
    y0 = top + HEADER + layout.headroom
    yield f'<circle class="head" cx="{layout.x(0)}" cy="{y0 + LANE / 2}" r="3.5"/>'
    for number, edge in enumerate(layout.over, 1):
        yield _arc(layout, edge, y0, y0 + 2 - ARC * number)
    for number, edge in enumerate(layout.under, 1):
        yield _arc(layout, edge, y0, y0 + LANE * layout.lanes - 2 + ARC * number)
    for source, target in box["edges"]:
        if (source, target) not in layout.over + layout.under:
            yield _line(layout, source, target, y0)
    for place, node in enumerate(box["nodes"]):
        yield from _chip(node, layout, place, y0)


class _Layout:
    """Which column (longest way from the input) and which row each node of a box has."""

    def __init__(self, box: Mapping[str, Any]):
        self.kinds = [node["kind"] for node in box["nodes"]]
        self.edges = [tuple(edge) for edge in box["edges"]]
        self.level = {INPUT: 0}
        self.lane = {INPUT: 0}
        taken: set[tuple[int, int]] = set()
        for place in range(len(self.kinds)):
            sources = [a for a, b in self.edges if b == place] or [INPUT]
            level = 1 + max(self.level[a] for a in sources)
            lane = min(self.lane[a] for a in sources)
            while (level, lane) in taken:
                lane += 1
            self.level[place], self.lane[place] = level, lane
            taken.add((level, lane))
        self.levels, self.lanes = max(self.level.values()), 1 + max(self.lane.values())
        self.fits = self.levels <= MAX_LEVELS and self.lanes <= MAX_LANES
        self.step = min(132.0, (WIDTH - LEFT - RIGHT - 70) / max(1, self.levels))
        self.chip = self.step - 24
        blocked = [edge for edge in self.edges if self._is_blocked(edge, taken)]
        blocked.sort(key=lambda edge: self.level[edge[1]] - self.level[edge[0]])
        self.under = [edge for edge in blocked if self.lane[edge[0]] == self.lane[edge[1]] == self.lanes - 1 > 0]
        self.over = [edge for edge in blocked if edge not in self.under]
        self.headroom, self.footroom = (ARC * len(arcs) + (4 if arcs else 0) for arcs in (self.over, self.under))

    def _is_blocked(self, edge: tuple[int, int], taken: set[tuple[int, int]]) -> bool:
        """Whether the straight way along the source's row runs into another node."""
        source, target = edge
        between = range(self.level[source] + 1, self.level[target])
        return any((level, self.lane[source]) in taken for level in between)

    def x(self, level: int) -> float:
        """The middle of a column; column 0 is the input."""
        return LEFT + 22 + (self.step * level - self.step / 2 + 14 if level else 0)

    def y(self, place: int) -> float:
        return LANE * self.lane[place] + LANE / 2

    def half(self, place: int) -> float:
        """Half the width of a node."""
        if place == INPUT:
            return 3.5
        return 13.0 if self.kinds[place] == "merge" else self.chip / 2

    def tall(self, place: int) -> float:
        """Half the height of a node."""
        if place == INPUT:
            return 3.5
        return 13.0 if self.kinds[place] == "merge" else CHIP_HEIGHT / 2


def _line(layout: _Layout, source: int, target: int, y0: float) -> str:
    x1, y1 = layout.x(layout.level[source]) + layout.half(source), y0 + layout.y(source)
    x2, y2 = layout.x(layout.level[target]) - layout.half(target) - 1, y0 + layout.y(target)
    if y1 == y2:
        return _path(f"M{x1:.1f} {y1:.1f}H{x2:.1f}")
    bend = x2 - 11 if layout.level[target] - layout.level[source] > 1 else x1 + 9
    return _path(f"M{x1:.1f} {y1:.1f}H{bend:.1f}L{bend + 5:.1f} {y2:.1f}H{x2:.1f}")


def _arc(layout: _Layout, edge: tuple[int, int], y0: float, way: float) -> str:
    """Over or under the rows, at height `way`, for shortcuts."""
    source, target = edge
    x1, y1 = layout.x(layout.level[source]), y0 + layout.y(source)
    x2, y2 = layout.x(layout.level[target]), y0 + layout.y(target)
    side = -1 if way < y1 else 1
    start, end = y1 + side * layout.tall(source), y2 + side * (layout.tall(target) + 1)
    bend = way - 6 * side
    return _path(
        f"M{x1:.1f} {start:.1f}V{bend:.1f}Q{x1:.1f} {way:.1f} {x1 + 6:.1f} {way:.1f}"
        f"H{x2 - 6:.1f}Q{x2:.1f} {way:.1f} {x2:.1f} {bend:.1f}V{end:.1f}",
        skip=True,
    )


def _chip(node: Mapping[str, Any], layout: _Layout, place: int, y0: float) -> Iterator[str]:
    x, y = layout.x(layout.level[place]), y0 + layout.y(place)
    if node["kind"] == "merge":
        yield f'<circle class="merge" cx="{x:.1f}" cy="{y:.1f}" r="13"/>'
        yield _text(x, y + 4, node["label"], "middle small" if node["label"] == "cat" else "middle")
        return
    half = layout.chip / 2
    yield (
        f'<rect class="{node["kind"]}" x="{x - half:.1f}" y="{y - CHIP_HEIGHT / 2:.1f}" width="{2 * half:.1f}" '
        f'height="{CHIP_HEIGHT}" rx="4"/>'
    )
    lines = [line for line in (node["label"], node["detail"]) if line]
    for number, line in enumerate(lines):
        is_wide = 6.3 * len(line) > layout.chip
        squeezed = f' textLength="{layout.chip - 6:.0f}" lengthAdjust="spacingAndGlyphs"' if is_wide else ""
        offset = 4 if len(lines) == 1 else -3 + 13 * number
        yield f'<text x="{x:.1f}" y="{y + offset:.1f}" class="middle small"{squeezed}>{escape(line)}</text>'


def _far(boxes: Sequence[Mapping[str, Any]]) -> list[tuple[int, int]]:
    """Pairs of boxes of which the second takes the first's result, and which are no neighbours."""
    return [(source, place) for place, box in enumerate(boxes) for source in box["reads"] if source < place - 1]


def _long_arcs(far: Sequence[tuple[int, int]], tops: Sequence[int], heights: Sequence[int]) -> Iterator[str]:
    """Arrows along the right edge."""
    edge = WIDTH - RIGHT
    for source, target in far:
        bulge = 6 + min(14, 2 * (target - source))
        start, end = tops[source] + heights[source] - 8, tops[target] + 12
        yield _path(f"M{edge} {start}C{edge + bulge} {start} {edge + bulge} {end} {edge + 2} {end}", skip=True)


def _legend(boxes: Sequence[Mapping[str, Any]], y: int) -> Iterator[str]:
    used = {node["kind"] for box in boxes for node in box["nodes"]}
    x = LEFT
    for kind in (kind for kind in KINDS if kind in used):
        if kind == "merge":
            yield f'<circle class="merge" cx="{x + 7}" cy="{y - 4}" r="7"/>'
        else:
            yield f'<rect class="{kind}" x="{x}" y="{y - 11}" width="14" height="14" rx="3"/>'
        yield _text(x + 20, y, KINDS[kind], "small faint")
        x += 42 + 7 * len(KINDS[kind])
