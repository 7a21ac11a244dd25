"""benchmarks/resume.py on a network that is small enough for every commit."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "resume.py"


@pytest.mark.slow
def test_three_kills_leave_no_trace(tmp_path):
    """Three SIGKILLs, one of them sought inside a checkpoint's write: the same bytes and figures as in one go."""
    words = ["--runs", "1", "--kills", "3", "--model", "cnn3", "--epochs", "3", "--save-seconds", "0"]
    done = subprocess.run(
        [sys.executable, str(SCRIPT), *words],
        cwd=tmp_path,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"3 kills, \d of them inside a checkpoint's write; 1 of 1 trainings equal", done.stdout)
