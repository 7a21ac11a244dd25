"""Two processes under torchrun against one: weights, buffers, momenta, sums and scores."""

import inspect
import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

SCRIPT = Path(__file__).with_name("cases_on_ranks.py")
sys.path.insert(0, str(SCRIPT.parent))
import cases_on_ranks as on_ranks  # noqa: E402

from strop.errors import RunFailed, UserError  # noqa: E402
from strop.launch import Alone  # noqa: E402
from strop.train.distributed import LOOK_SECONDS, Ranks, _or_failed  # noqa: E402

EXACT = [name for name in on_ranks.CASES if name.endswith("-virtual")]


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """The folder in which two processes left what every case came to."""
    out = tmp_path_factory.mktemp("two")
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [*torchrun, SCRIPT, out],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return out


@pytest.fixture(scope="module")
def one():
    """The same in this process, computed when it is asked for."""
    found = {}

    def run(name):
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        if name not in found:
            found[name] = on_ranks.run_case(name)
        torch.set_num_threads(threads)
        return found[name]

    return run


def about(two, name, rank=0):
    return json.loads((two / f"{name}-{rank}.json").read_text())


@pytest.mark.parametrize("name", on_ranks.CASES)
def test_both_processes_end_with_the_same_bits(two, name):
    assert about(two, name, 0) == about(two, name, 1)


@pytest.mark.parametrize("name", [name for name in on_ranks.CASES if name not in EXACT])
def test_two_processes_equal_one_without_batch_norm(two, one, name):
    """21 updates with class weights, a last batch of 3 + 2 pictures or one with nothing for the second: within 1e-6."""
    expected, said = one(name)
    found = load_file(two / f"{name}.safetensors")
    assert found.keys() == expected.keys()
    for key, tensor in expected.items():
        torch.testing.assert_close(found[key], tensor, rtol=0, atol=1e-6)
    sums = about(two, name)["sums"]
    assert sums["seen"] == said["sums"]["seen"] and sum(sums["seen"]) == on_ranks.CASES[name][1]
    assert sums["loss"] == pytest.approx(said["sums"]["loss"], rel=1e-5)


@pytest.mark.parametrize("name", EXACT)
def test_virtual_ranks_give_the_same_bits_on_one_and_two_processes(two, one, name):
    """Dropout, and ResNet-18 with batch norm: weights, statistics, momenta, sums and scores; nothing rounded."""
    expected, said = one(name)
    found = about(two, name)
    assert found.pop("digest") == on_ranks.digest(expected)
    assert found == said


def test_without_virtual_ranks_batch_norm_differs(two, one):
    """The control: ResNet-18 in one process with whole batches comes out otherwise."""
    network, *rest = on_ranks.CASES["resnet18-virtual"]
    on_ranks.CASES["resnet18-whole"] = (network, *rest[:3], None, 1)
    on_ranks.UPDATES["resnet18-whole"] = 3
    tensors, _ = on_ranks.run_case("resnet18-whole")
    assert on_ranks.digest(tensors) != about(two, "resnet18-virtual")["digest"]


@pytest.mark.parametrize("name", on_ranks.CASES)
def test_evaluation_counts_every_picture_once(two, one, name):
    """101 pictures in 13 batches on 2 processes: 101 are counted, and scores are those of one process."""
    found, expected = about(two, name)["measured"], one(name)[1]["measured"]
    assert found["n"] == 101 and sum(map(sum, found["confusion"])) == 101
    assert found["confusion"] == expected["confusion"]
    assert found["loss"] == pytest.approx(expected["loss"], abs=1e-5)


def test_alone_answers_to_all_that_ranks_do():
    """A process by itself has the same methods, with the same arguments."""

    def methods(kind):
        names = [name for name in vars(kind) if not name.startswith("_") and callable(getattr(kind, name))]
        return {name: list(inspect.signature(getattr(kind, name)).parameters) for name in names}

    assert methods(Alone) == methods(Ranks)


def test_a_lost_process_is_said_in_one_line():
    """What gloo says (torch 2.15, a process killed while the other waits), without its file names and guesses."""
    said = (
        "[/__w/pytorch/third_party/gloo/gloo/transport/tcp/pair.cc:545] Read error [127.0.0.1]:14471: Connection "
        "reset by peer. This is typically caused by a remote worker hanging."
    )
    shown = r"too slow \(Read error \[127.0.0.1\]:14471: Connection reset by peer\)\. "
    with pytest.raises(RunFailed, match=shown), _or_failed():
        raise RuntimeError(said)


@pytest.fixture
def pair():
    """Two Ranks that hear each other through a store in memory; the second one's call runs in a thread."""
    store = torch.distributed.HashStore()
    first, second = Ranks(0, 2, store), Ranks(1, 2, store)
    with ThreadPoolExecutor(1) as thread:
        yield first, second, thread


def test_what_the_first_makes_all_get(pair):
    """In order, as JSON; only the first makes it."""
    first, second, thread = pair
    heard = thread.submit(lambda: [second.from_first(pytest.fail) for _ in range(2)])
    assert first.from_first(lambda: {"place": "runs/a"}) == {"place": "runs/a"}
    time.sleep(3 * LOOK_SECONDS)
    assert not heard.done()
    assert first.from_first(lambda: None) is None
    assert heard.result(10) == [{"place": "runs/a"}, None]


def test_where_the_first_refuses_all_end_with_its_code(pair):
    """A folder that is taken, say: the first says why, the others end with 2 and say nothing."""
    first, second, thread = pair
    heard = thread.submit(second.from_first, pytest.fail)

    def refuse():
        raise UserError("--out taken", "strop overwrites nothing.")

    with pytest.raises(UserError):
        first.from_first(refuse)
    with pytest.raises(SystemExit) as ended:
        heard.result(10)
    assert ended.value.code == 2


def test_waiting_for_all(pair):
    """The first to come waits for the last."""
    first, second, thread = pair
    came = thread.submit(second.wait_for_all)
    time.sleep(3 * LOOK_SECONDS)
    assert not came.done()
    first.wait_for_all()
    came.result(10)
