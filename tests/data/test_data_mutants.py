"""100,000 damaged picture files: each is read or refused by name; none ends the process, hangs it or fills memory."""

import json
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from strop.data.examine import measure_shapes

SCRIPT = Path(__file__).with_name("mutants.py")
FORMATS = {"jpeg", "png", "webp", "gif", "bmp", "tiff", "ppm"}


def read_all(tmp_path, first: int, count: int, command=(str(SCRIPT),)) -> dict:
    """What became of mutants first .. first + count - 1, read by a process of their own."""
    counter = tmp_path / "counter"
    counter.write_bytes(bytes(8))
    words = [sys.executable, *command, str(counter), str(first), str(count)]
    try:
        done = subprocess.run(words, capture_output=True, timeout=300)  # libtiff writes to stderr what it thinks
    except subprocess.TimeoutExpired:
        pytest.fail(f"mutant {int.from_bytes(counter.read_bytes(), 'little')} hangs")
    number = int.from_bytes(counter.read_bytes(), "little")
    assert done.returncode == 0, f"mutant {number} ends the process: {done.returncode} {done.stderr[-2000:].decode()}"
    return json.loads(done.stdout)


def test_a_hundred_thousand_mutants(tmp_path):
    """Less than 2 s of CPU and 1 GB for the worst: 50 million pixels, the limit, are 200 MB in Pillow, 150 here."""
    found = read_all(tmp_path, 0, 100_000)
    assert found["wrong"] == []
    assert sum(found["outcomes"].values()) == 100_000
    # A test in which everything is refused, or nothing, would test nothing.
    assert {name for name, n in found["outcomes"].items() if n > 500} == {
        f"{f} {o}" for f in FORMATS for o in ("read", "refused")
    }
    assert found["slowest"][0] < 2 and found["grown"] < 1e9, (found["slowest"], found["grown"])


def test_a_crash_and_its_mutant_are_told(tmp_path):
    """The counter survives the process: what is found here by aborting on purpose would be found in a decoder."""
    code = (
        f"import os, runpy, sys; known = runpy.run_path({str(SCRIPT)!r}); main = known['main']\n"
        "main.__globals__['read'] = lambda mutants, i: os.abort() if i == 7 else 'read'\n"
        "main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))"
    )
    with pytest.raises(AssertionError, match="mutant 107 ends the process: -6"):
        read_all(tmp_path, 100, 20, command=("-c", code))


def test_the_seeds_are_whole_and_a_number_is_a_mutant():
    known = runpy.run_path(str(SCRIPT))
    assert {format for format, _ in known["seeds"]()} == FORMATS
    assert [known["mutate"](number) for number in range(50)] == [known["mutate"](number) for number in range(50)]
    whole = known["Mutants"](0, len(known["seeds"]()))
    known["Mutants"].open.__globals__["mutate"] = lambda number: ("", known["seeds"]()[number][1])
    assert {known["read"](whole, i) for i in range(len(whole))} == {"read"}


@pytest.mark.filterwarnings("ignore")
def test_the_check_before_a_training_finds_what_can_not_be_read(capfd):
    """`measure_shapes` decodes JPEGs at an eighth of their size; other than these, it names what reading refuses."""
    mutants = runpy.run_path(str(SCRIPT))["Mutants"](0, 1_000)
    _, found = measure_shapes(mutants, np.zeros((len(mutants), 16), np.uint8))
    jpegs = {i for i in range(len(mutants)) if mutants.open(i).read(3) == b"\xff\xd8\xff"}
    refused = set()
    for i in set(range(len(mutants))) - jpegs:
        try:
            mutants.pixels(i)
        except Exception:  # which kind it is, is tested above
            refused.add(i)
    assert set(found) - jpegs == refused and refused
    capfd.readouterr()
