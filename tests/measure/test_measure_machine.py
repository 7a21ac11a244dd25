"""Energy counters, processor flags and the runtime's profile, from files that the test writes."""

import time

import pytest

from strop.measure.energy import energy, find_meter
from strop.measure.machine import describe_machine, processor_flags
from strop.measure.profile import nodes


@pytest.fixture
def zones(tmp_path):
    """Two packages with one core zone, as the kernel names them; a function that moves the counters by microjoules."""
    for name, title in (("intel-rapl:0", "package-0"), ("intel-rapl:1", "package-1"), ("intel-rapl:0:0", "core")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "name").write_text(f"{title}\n")
        (tmp_path / name / "max_energy_range_uj").write_text("1000000\n")
        (tmp_path / name / "energy_uj").write_text("999000\n")

    def use(microjoules: int) -> None:
        for name in ("intel-rapl:0", "intel-rapl:1"):
            file = tmp_path / name / "energy_uj"
            file.write_text(str((int(file.read_text()) + microjoules) % 1_000_000))

    return tmp_path, use


def test_energy_of_a_picture(zones, monkeypatch):
    """A call: 0.1 s and 500 microjoules of each package for 4 pictures: 0.25 mJ, also past the counter's end."""
    root, use = zones
    now = [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])

    def model(batch):
        assert batch == "batch"
        now[0] += 0.1
        use(500)

    found = energy({"a": model}, {"a": "batch"}, {"a": 4}, find_meter(root))
    assert found["a"] == {"mj_per_image": 0.25, "counter": "package-0, package-1", "n": 5}


def test_without_counters_there_is_no_energy(zones, tmp_path):
    """None where there are none, and where they may not be read or hold no number."""
    root, _ = zones
    assert find_meter(tmp_path / "nowhere") is None
    (root / "intel-rapl:0" / "energy_uj").write_text("")
    assert find_meter(root) is None


def test_flags_that_choose_kernels(tmp_path):
    file = tmp_path / "cpuinfo"
    file.write_text("processor : 0\nmodel name : X\nflags\t\t: fpu avx2 amx_int8 ht avx512_vnni\n")
    assert processor_flags(file) == ["avx2", "avx512_vnni", "amx_int8"]
    assert processor_flags(tmp_path / "none") == []
    assert describe_machine(3, file)["threads"] == 3


def test_the_profile_is_by_node_and_for_one_call():
    """Two calls; conv runs once in each (20 and 40 us: 30), add twice (5 us each: 10); the session is no node."""

    def event(name, dur, cat="Node", operator="Conv"):
        return {"cat": cat, "name": name, "dur": dur, "args": {"op_name": operator}}

    events = [event("conv_kernel_time", 20), event("conv_kernel_time", 40), event("model_run", 500, cat="Session")]
    events += [event("add_kernel_time", 5, operator="Add")] * 4 + [event("conv_fence_before", 9)]
    assert nodes(events, calls=2, top=5) == [
        {"layer": "conv", "operator": "Conv", "ms": 0.03, "share": 0.75, "calls": 2},
        {"layer": "add", "operator": "Add", "ms": 0.01, "share": 0.25, "calls": 2},
    ]
    assert [node["layer"] for node in nodes(events, calls=2, top=1)] == ["conv"]
    assert nodes([], calls=1, top=1) == []
