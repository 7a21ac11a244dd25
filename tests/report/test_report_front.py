"""Which models another one beats in accuracy, latency and bytes."""

from dataclasses import dataclass

import pytest

from strop.report.front import dominated, front_columns, front_records


@dataclass
class Point:
    """As much of a row as the front looks at."""

    id: str
    accuracy: float | None
    p50: float | None
    bytes: int
    measured: dict | None = None
    interval: tuple | None = None
    file: str = "model.onnx"
    export: str | None = None
    hash: str = "sha256:0"
    verb: str = "train"

    def __post_init__(self):
        self.measured = self.measured or {"split": "test", "data": "d", "n": 100}

    def figure(self, name):
        return self.measured.get(name)

    def timed(self, *names):
        """Not beside a float model."""

    def parent(self, role, rows):
        """Not among the rows."""


A = Point("a", 0.90, 2.0, 100)


@pytest.mark.parametrize(
    ("other", "beaten"),
    [
        (Point("b", 0.90, 2.0, 100), {}),  # equal points beat nobody
        (Point("b", 0.90, 1.9, 100), {"a": "b"}),
        (Point("b", 0.89, 1.0, 10), {}),  # less accurate
        (Point("b", 0.91, 2.1, 10), {}),  # slower
        (Point("b", 0.91, 1.0, 101), {}),  # larger
        (Point("b", 0.91, 3.0, 101), {}),
        (Point("b", 0.89, 2.0, 100), {"b": "a"}),
        (Point("b", 0.95, None, 10), {}),  # not timed
        (Point("b", 0.95, 1.0, 10, measured={"split": "val", "data": "d"}), {}),  # on other pictures
    ],
)
def test_a_point_is_beaten_in_all_three_or_not_at_all(other, beaten):
    assert dominated([A, other]) == beaten == dominated([other, A])


def test_the_most_accurate_of_those_that_beat_it_is_named():
    rows = [A, Point("b", 0.91, 1.0, 50), Point("c", 0.93, 1.5, 60), Point("d", 0.99, 9.0, 900)]
    assert dominated(rows) == {"a": "c"}
    columns = {column.title: column.cells for column in front_columns(rows)}
    assert columns["name"] == ["b", "c", "a", "d"], "the fastest first"
    assert columns["front"] == ["on the front", "on the front", "dominated by c", "on the front"]
    assert [record["dominated_by"] for record in front_records(rows)] == ["c", None, None, None]
