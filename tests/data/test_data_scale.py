"""1.28 million pictures, simulated, in files and in shards: what the index costs, and how fast a step is found."""

import subprocess
import sys

import pytest

HEAD = """
import resource, sys, time
from pathlib import Path
import numpy as np, scipy.sparse.csgraph
from strop.data import dataset, examine, files, shards
from strop.data.chance import key, permutation
from strop.data.packed import PackedNames
from strop.data.source import FileSplit, Source

resident = lambda: int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize()
before = resident()
per, k = 1280, 1000
n = per * k
content = np.random.default_rng(0).integers(0, 256, (n, 16), np.uint8)
"""
FILES = """
names = PackedNames(f"train/n{c:08d}/n{c:08d}_{i}.JPEG" for c in range(k) for i in range(per))
split = FileSplit(Path("/simulated"), names, np.repeat(np.arange(k), per), stamps=content)
source = Source("simulated", "/simulated", tuple(f"n{c:08d}" for c in range(k)), {"train": split})
"""
# 100 shards whose headers are made up, in the order of a set that was shuffled when it was written.
SHARDS = """
import os
from strop.data.tar import Member

def members(file, where):
    shard = int(where[-8:-4])
    for i in range(shard, n, 100):
        c = i * 7919 % k
        yield Member(f"n{c:08d}/n{c:08d}_{i}.jpeg", i * 120_000, 110_000, b"")

shards.read_members = members
folder = Path(sys.argv[1])
for i in range(100):
    (folder / f"train-{i:04d}.tar").touch()
source = dataset.open_source(f"wds:{folder}/train-{{0000..0099}}.tar")
split = source.splits["train"]
split.stamps = content
"""
TAIL = """
class Store:
    def __init__(self, root, kind="hashes", width=16, version=""): self.width = width
    def find(self, stamps): return np.ones(len(stamps), bool), content[:, :self.width]

files.HashStore = examine.HashStore = Store
dataset._look_at = lambda split: (3, None)
start = time.process_time()
data = dataset.open_data(source)
opened = time.process_time() - start
held = resident() - before
start = time.process_time()
order = permutation(len(data.splits["train"]), key(0, "order", 7))
chosen = order[1_000_000:1_000_064]
rows = [(split.where(data.splits["train"][i][1]), int(l)) for i, l in zip(chosen, data.labels("train")[chosen])]
seek = time.process_time() - start
# Not ru_maxrss: that begins with the size of the process that started this one.
peak = next(int(row.split()[1]) for row in open("/proc/self/status") if row.startswith("VmHWM")) * 1024 - before
assert all(f"n{label:08d}" in path for path, label in rows)
assert np.bincount(data.labels("val")).tolist() == [64] * k
print(held, peak, opened, seek)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("simulated, most", [(FILES, 200e6), (SHARDS, 250e6)], ids=["files", "shards"])
def test_a_million_names_stay_small_and_any_step_is_near(tmp_path, simulated, most):
    """Never more than 300 MB, less once it is open; a step anywhere in an epoch is found in < 1 s of CPU."""
    command = [sys.executable, "-c", HEAD + simulated + TAIL, str(tmp_path)]
    held, peak, opened, seek = map(
        float, subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    )
    assert held < most and peak < 300e6, (held, peak)
    assert seek < 1 and opened < 30, (seek, opened)
