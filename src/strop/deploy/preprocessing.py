"""The preprocessing of evaluation as an ONNX graph: RGB pictures of any size in, normalised squares out."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import GraphProto, numpy_helper

from .settings import Settings

PREFIX = "strop_"
SCALE, SHIFT, TEMPERATURE = (PREFIX + name for name in ("scale", "shift", "temperature"))

# Integers up to the last division: weights are exact, and rows of them sum to 1.
# The If gives its shape besides, for a Reshape that changes nothing. OpenVINO (2026.4.1) learns shapes as it goes,
# and gives the memory of what an If wrote to layers behind it before it is read; that of such a Reshape it keeps.
BEFORE = """
before (uint8[batch, height, width, 3] images) => (float[batch, {channels}, {size}, {size}] normalised) {{
    sides = Shape <start = 1, end = 3> (images)
    side = ReduceMin <keepdims = 1> (sides)
    rest = Sub (sides, side)
    two = Constant <value_ints = [2]> ()
    begin = Div (rest, two)
    end = Add (begin, side)
    axes = Constant <value_ints = [1, 2]> ()
    square = Slice (images, begin, end, axes)
    levels = Cast <to = 1> (square)
    {pixels}
    size = Constant <value_ints = [{size}]> ()
    fits = Equal (side, size)
    chosen, form = If (fits) <
        then_branch = as_it_is () => (float[batch, {channels}, {size}, {size}] same, int64[4] form_same) {{
            same = Identity (pixels)
            form_same = Constant <value_ints = [-1, {channels}, {size}, {size}]> ()
        }},
        else_branch = resize () => (float[batch, {channels}, {size}, {size}] rounded, int64[4] form_rounded) {{
            zero = Constant <value_int = 0> ()
            one = Constant <value_int = 1> ()
            count = Squeeze (side)
            columns = Range (zero, count, one)
            until = Squeeze (size)
            numbers = Range (zero, until, one)
            upright = Constant <value_ints = [-1, 1]> ()
            rows = Reshape (numbers, upright)
            low = Mul (rows, side)
            high = Add (low, side)
            left = Mul (columns, size)
            right = Add (left, size)
            last = Min (high, right)
            first = Max (low, left)
            common = Sub (last, first)
            overlap = Max (common, zero)

            double = Mul (size, two)
            twice = Mul (low, two)
            offset = Sub (side, size)
            middle = Add (twice, offset)
            fewer = Sub (side, one)
            edge = Mul (double, fewer)
            inner = Max (middle, zero)
            place = Min (inner, edge)
            grid = Mul (left, two)
            apart = Sub (place, grid)
            distance = Abs (apart)
            nearness = Sub (double, distance)
            tent = Max (nearness, zero)

            shrinks = Less (size, side)
            parts = Where (shrinks, overlap, tent)
            whole = Where (shrinks, side, double)
            parts_float = Cast <to = 1> (parts)
            whole_float = Cast <to = 1> (whole)
            weights = Div (parts_float, whole_float)
            across = Transpose <perm = [1, 0]> (weights)
            shorter = MatMul (weights, pixels)
            narrower = MatMul (shorter, across)
            halves = Equal (side, double)
            little = Constant <value_float = 0.001> ()
            nothing = Constant <value_float = 0.0> ()
            up = Where (halves, little, nothing)
            nudged = Add (narrower, up)
            rounded = Round (nudged)
            form_rounded = Constant <value_ints = [-1, {channels}, {size}, {size}]> ()
        }}
    >
    scaled = Reshape (chosen, form)
    product = Mul (scaled, scale)
    normalised = Add (product, shift)
}}
"""

COLOUR = "pixels = Transpose <perm = [0, 3, 1, 2]> (levels)"

# ITU-R 601 in 15 bits, as OpenCV computes it: 9798, 19235 and 3735 over 32768. In float32 all of it is exact.
# Transposed before the Add, which is 20 times slower in ONNX Runtime where the last axis is 1 long.
GREY = """
    luma = Constant <value = float[3, 1] {0.29901123046875, 0.587005615234375, 0.113983154296875}> ()
    weighted = MatMul (levels, luma)
    planes = Transpose <perm = [0, 3, 1, 2]> (weighted)
    half = Constant <value_float = 0.5> ()
    raised = Add (planes, half)
    pixels = Floor (raised)
"""


def constants(settings: Settings) -> dict[str, np.ndarray]:
    """The numbers of the graph by name: x = pixel * scale + shift, logits / temperature."""
    mean, std = (np.asarray(values, np.float32).reshape(-1, 1, 1) for values in (settings.mean, settings.std))
    return {SCALE: 1 / (255 * std), SHIFT: -mean / std, TEMPERATURE: np.asarray([settings.temperature], np.float32)}


def before(settings: Settings, target: str) -> GraphProto:
    """The graph from "images", (B, H, W, 3) uint8 RGB, to `target`, (B, C, S, S) float32 as the network takes it.

    The centre square is cut, made grey where C = 1, scaled, rounded to whole levels, and normalised: what
    `data.geometry.fit_square` does. With A of S rows and as many columns as the square has, y = A x A'; a square that
    fits already goes past it. For shrinking, A_ij is the share of output pixel i that input pixel j covers (area
    averaging, as OpenCV's INTER_AREA, to the last bit); for enlarging, bilinear weights (OpenCV rounds its weights to
    11 bits: up to one level apart).

    Unlike ONNX's own Resize with antialias: that is a triangle of twice the width, which blurs more than evaluation.
    """
    graph = onnx.parser.parse_graph(
        BEFORE.format(
            size=settings.input_size,
            channels=settings.channels,
            pixels=GREY if settings.channels == 1 else COLOUR,
        )
    )
    numbers = constants(settings)
    graph.initializer.extend(numpy_helper.from_array(numbers[PREFIX + name], name) for name in ("scale", "shift"))
    graph = onnx.compose.add_prefix_graph(graph, PREFIX, rename_inputs=False)
    graph.node[-1].output[0] = graph.output[0].name = target
    return graph
