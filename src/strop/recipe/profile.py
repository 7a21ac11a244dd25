"""How fast this machine trains, from a few updates of three small networks; measured once and remembered.

seconds an update = a * multiply-accumulates + b * bytes moved, both of forward, backward and optimizer; a and b are
fitted to what was measured.
"""

from __future__ import annotations

import contextlib
import json
import time
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional as F

from ..data.home import cache_home
from ..runs import machine
from ..train.precision import make_autocast
from ..writing import write_json
from .counts import Counts, Network, count

REFERENCES = {  # dense, depthwise, and thin convolutions: what they need differs in macs a byte
    "bf16": (("resnet18", 64), ("squeezenet", 96), ("resnet20", 32)),
    "fp16": (("resnet18", 64), ("squeezenet", 96), ("mobilenet_v3_small", 96)),
    "fp32": (("resnet18", 64), ("squeezenet", 96), ("mobilenet_v3_small", 96)),
}
BATCH, UPDATES = 16, 8
FILE = "profile-least.json"


def known_profile(device: str, precisions: set[str]) -> dict[str, Any]:
    """Rates by precision, `{"bf16": {"mac": s, "byte": s, "off": 0.3}}`; what is not remembered is measured (seconds).

    Returns:
        "rates", "key" (processor, threads, torch, device), and "measured": whether that was done now.
    """
    key = " | ".join([machine(device)["processor"], f"{torch.get_num_threads()} threads", torch.__version__, device])
    path = cache_home() / FILE
    stored = _read(path)
    rates = dict(stored.get(key, {}))
    missing = sorted(precisions - set(rates))
    rates |= {precision: _measure(precision, device) for precision in missing}
    if missing:
        with contextlib.suppress(OSError):  # a plan is printed all the same
            path.parent.mkdir(parents=True, exist_ok=True)
            write_json(path, stored | {key: rates})
    return {"key": key, "measured": bool(missing), "rates": rates}


def _read(path: Path) -> dict[str, dict]:
    """What was remembered; nothing where the file is not there, damaged or of another form."""
    try:
        stored = json.loads(path.read_text(encoding="utf-8")) if path.stat().st_size < 1_000_000 else {}
    except (OSError, ValueError):
        return {}
    known = stored if isinstance(stored, dict) else {}
    return {key: kept for key, rates in known.items() if (kept := _usable(rates))}


def _usable(rates: Any) -> dict[str, dict]:
    return {
        precision: rate
        for precision, rate in (rates.items() if isinstance(rates, dict) else ())
        if isinstance(rate, dict) and all(isinstance(rate.get(name), float) for name in ("mac", "byte", "off"))
    }


def _measure(precision: str, device: str) -> dict[str, float]:
    """Seconds a multiply-accumulate and a byte moved, both >= 0, and by which share the fit misses at worst."""
    import numpy as np
    from scipy.optimize import nnls

    networks = [Network(name, (), 10, 3, side) for name, side in REFERENCES[precision]]
    costs = [work(count(network), pictures=BATCH, updates=1) for network in networks]
    seconds = np.array([_time_updates(network, precision, device) for network in networks])
    weighed = np.array(costs) / seconds[:, None]  # so that the smallest counts as much as the largest
    scale = weighed.max(0)
    found, _ = nnls(weighed / scale, np.ones(len(seconds)))
    mac, byte = found / scale
    off = np.abs(weighed @ np.array([mac, byte]) - 1).max()
    return {"mac": float(mac), "byte": float(byte), "off": float(off)}


def _time_updates(network: Network, precision: str, device: str) -> float:
    """The least seconds of an update of SGD with momentum: what else the machine does can only add to it."""
    net = network.build().to(device).train()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.0, momentum=0.9)
    pictures = torch.rand(BATCH, network.channels, network.side, network.side, device=device)
    pictures = pictures.to(memory_format=torch.channels_last)
    net = net.to(memory_format=torch.channels_last)
    labels = torch.zeros(BATCH, dtype=torch.int64, device=device)
    autocast, spent = make_autocast(precision, device), []
    for _ in range(1 + UPDATES):
        start = time.perf_counter()
        with autocast():
            loss = F.cross_entropy(net(pictures).float(), labels)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        if device != "cpu":
            torch.cuda.synchronize()
        spent.append(time.perf_counter() - start)
    return min(spent[1:])


def work(counts: Counts, *, pictures: int, updates: int = 0) -> tuple[float, float]:
    """Multiply-accumulates and bytes: forward once, backward twice as much of what trains, and the optimizer's steps.

    Args:
        pictures: that are seen; updates: 0 where nothing is trained.
    """
    backward = 2 if updates else 0
    macs = pictures * (counts.macs + backward * counts.macs_back)
    moved = pictures * (counts.moved + backward * counts.moved_back) + updates * (
        3 * counts.weights + 20 * counts.trainable
    )
    return float(macs), float(moved)


def seconds_of(counts: Counts, rates: dict[str, dict], *, pictures: int, updates: int = 0, precision: str) -> float:
    """What `work` takes at these rates."""
    macs, moved = work(counts, pictures=pictures, updates=updates)
    rate = rates[precision]
    return macs * rate["mac"] + moved * rate["byte"]
