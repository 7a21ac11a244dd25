"""What the bits depend on, and how a change of it is worded."""

import json

import torch

from strop.train.environment import differences, environment


def test_the_same_machine_differs_in_nothing():
    """Also after the way through JSON."""
    now = environment(device="cpu", precision="bf16")
    assert differences(json.loads(json.dumps(now)), environment(device="cpu", precision="bf16")) == []


def test_every_change_is_named():
    """Threads, precision, compile, processes: old -> new."""
    threads = torch.get_num_threads()
    before = environment(device="cpu", precision="fp32")
    try:
        torch.set_num_threads(threads + 1)
        now = environment(device="cpu", precision="bf16", compiled=True, processes=2)
    finally:
        torch.set_num_threads(threads)
    assert differences(before, now) == [
        f"threads {threads} -> {threads + 1}",
        "precision fp32 -> bf16",
        "compile no -> yes",
        "processes 1 -> 2",
    ]


def test_what_was_not_recorded_counts_as_changed():
    """A checkpoint of an earlier version does not claim equal bits."""
    assert "precision unknown -> fp32" in differences({}, environment(device="cpu", precision="fp32"))
