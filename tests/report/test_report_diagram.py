"""The SVG: well-formed, safe, inside its frame, readable on both grounds."""

import re
from xml.etree import ElementTree

import pytest

from strop.report.diagram import LEFT, RIGHT, WIDTH, draw_diagram

SVG = "{http://www.w3.org/2000/svg}"
INFO = {"model": 'net <&> "x"', "input_size": [3, 8, 8], "parameters": 100, "macs": 5000}


def box(nodes, edges, **more) -> dict:
    kinds = {"+": "merge", "cat": "merge", "pool": "pool"}
    drawn = [{"kind": kinds.get(label, "conv"), "label": label, "detail": ""} for label in nodes]
    about = {"name": "a", "kind": "Block", "stage": "layer1", "last_stage": "layer1", "output": [4, 8, 8]}
    return about | {"parameters": 50, "macs": 1, "count": 1, "nodes": drawn, "edges": edges, "reads": []} | more


RESIDUAL = box(["3x3", "3x3", "+"], [[-1, 0], [0, 1], [1, 2], [-1, 2]])


def parse(*boxes, info=INFO) -> ElementTree.Element:
    return ElementTree.fromstring(draw_diagram(info, boxes))


def texts(root) -> str:
    return " ".join("".join(text.itertext()) for text in root.iter(f"{SVG}text"))


def paths(root, style: str) -> list[str]:
    return [path.get("d") for path in root.iter(f"{SVG}path") if path.get("class") == style]


def test_names_are_text_whatever_they_hold():
    """Nothing in a name becomes markup; no script, no address is in the file."""
    root = parse(box(["<b>"], [], name="</svg><script>"))
    said = texts(root)
    assert "</svg><script>" in said and "<b>" in said and 'net <&> "x"' in said
    assert not [node for node in root.iter() if node.tag in (f"{SVG}script", f"{SVG}image", f"{SVG}a")]


def test_a_shortcut_is_an_arc_and_the_rest_are_lines():
    """Four edges: three straight ones, and one over the top in its own colour; shares are of all parameters."""
    root = parse(RESIDUAL)
    assert len(paths(root, "edge")) == 3 and len(paths(root, "skip")) == 1
    assert "50 parameters, 50.0 %" in texts(root) and "4x8x8" in texts(root)


def test_a_shortcut_from_a_lower_row_goes_below():
    """A gate in the second branch does not run through the first."""
    gate = box(["3x3", "3x3", "1x1", "1x1", "1x1", "+", "cat"],
               [[-1, 0], [-1, 1], [1, 2], [2, 3], [3, 4], [1, 5], [4, 5], [0, 6], [5, 6]])  # fmt: skip
    (arc,) = paths(parse(gate), "skip")
    patterns = (r"^M\S+ ([\d.]+)V", r"V([\d.]+)Q", r"V([\d.]+)$")
    start, bend, end = (float(re.search(pattern, arc)[1]) for pattern in patterns)
    assert bend > start and bend > end, "y grows downwards"


def test_piles_name_their_stages():
    root = parse(box(["1x1", "1x1"], [[-1, 0], [0, 1]], count=12, last_stage="layer12"))
    assert "layer1 to 12" in texts(root) and "12 x a" in texts(root)


@pytest.mark.parametrize("length", [2, 8, 12])
def test_everything_lies_inside_the_frame(length):
    """Chips get narrower where a block is long; none leaves its box, and none lies on another."""
    chain = box(["3x3"] * length, [[i - 1, i] for i in range(length)])
    rows = sorted(
        (float(r.get("x")), float(r.get("width"))) for r in parse(chain).iter(f"{SVG}rect") if r.get("class") == "conv"
    )
    chips = [row for row in rows if row[1] > 14]  # smaller ones are the legend's
    assert len(chips) == length
    assert all(x > LEFT and x + width < WIDTH - RIGHT for x, width in chips)
    assert all(x + width < following for (x, width), (following, _) in zip(chips, chips[1:], strict=False))


def test_a_block_too_large_to_draw_is_counted():
    """More than 12 layers in a row, or 8 side by side, would not be readable."""
    root = parse(box(["3x3"] * 30, [[i - 1, i] for i in range(30)]), box(["1x1"] * 9, [[-1, i] for i in range(9)]))
    assert "30 layers in up to 1 branches" in texts(root) and "9 layers in up to 9 branches" in texts(root)


def test_many_long_connections_become_a_number():
    """Few arrows at the edge are drawn; DenseNet's hundreds are told in words."""
    few = [box(["3x3"], [], reads=[]), box(["3x3"], [], reads=[0]), box(["3x3"], [], reads=[0, 1])]
    assert len(paths(parse(*few), "skip")) == 1 and "reads" not in texts(parse(*few))
    many = [box(["3x3"], [], reads=list(range(place))) for place in range(10)]
    assert paths(parse(*many), "skip") == [] and "reads 9 boxes" in texts(parse(*many))


def luminance(colour: str) -> float:
    """WCAG 2.2, relative luminance."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("is_dark", [False, True])
def test_text_is_readable_on_every_ground(is_dark):
    """A contrast of at least 4.5 (WCAG 2.2, AA) of both inks on all that text stands on."""
    style = draw_diagram(INFO, [RESIDUAL]).partition("<style>")[2].partition("</style>")[0]
    light, _, dark = style.partition("@media (prefers-color-scheme: dark)")
    rules = dict(re.findall(r"([.\w]+) \{[^}]*?fill: (#\w{6})", dark if is_dark else light))
    for ground in (".bg", ".box", ".stage", ".conv", ".depthwise", ".linear", ".pool", ".attention", ".merge"):
        inks = ["text"] if ground not in (".bg", ".box") else ["text", ".faint"]
        for ink in inks:
            bright, dim = sorted((luminance(rules[ink]), luminance(rules[ground])), reverse=True)
            assert (bright + 0.05) / (dim + 0.05) >= 4.5, (ink, ground)
