"""What all tests share."""

import os

import pytest

# Two thread pools on two busy cores wait for each other; one thread is slower when idle and steady when not.
# Set before anything imports torch.
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(autouse=True)
def own_places(tmp_path_factory, monkeypatch):
    """Tests remember nothing in the user's cache, and look for nothing in the user's data."""
    monkeypatch.setenv("STROP_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
    monkeypatch.setenv("STROP_DATA", str(tmp_path_factory.getbasetemp() / "no-data"))
    monkeypatch.delenv("COLUMNS", raising=False)  # messages are whole lines, wherever the tests run
