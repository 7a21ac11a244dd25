"""What other libraries fetch from the network is asked for once, with a short wait, and without their own remarks."""

from __future__ import annotations

import contextlib
import socket
import sys
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from .errors import UserError

ANSWER_SECONDS = 5.0  # until the hub says anything
SILENCE_SECONDS = 10.0  # without a byte, of servers that are asked through plain sockets


class NotFetched(UserError):
    """Weights that are not on this machine and can't be had.

    Args:
        what: the file that was asked for.
        reason: why it can't be had, without a full stop.
        advice: what to do instead, a sentence.
    """

    def __init__(self, where: str, what: str, reason: str, advice: str):
        self.what, self.reason = what, reason
        super().__init__(where, f"could not load '{what}': {reason}. {advice}")

    def advising(self, where: str, advice: str) -> NotFetched:
        """The same, for another option: where it was written, and what may be written there instead."""
        return NotFetched(where, self.what, self.reason, advice)


@contextlib.contextmanager
def short_wait() -> Iterator[None]:
    """Within it a server that says nothing for `SILENCE_SECONDS` has failed, and what is printed goes to stderr."""
    waited = socket.getdefaulttimeout()
    socket.setdefaulttimeout(SILENCE_SECONDS)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        socket.setdefaulttimeout(waited)


@contextlib.contextmanager
def hub_if_it_answers() -> Iterator[list[str]]:
    """Call Hugging Face's hub once; if it does not answer, its client finds only what was fetched before.

    Left to itself the client asks six times for each file, half a minute long, and can't be told not to.

    Yields:
        why the hub is not asked, or nothing.
    """
    from huggingface_hub import constants
    from huggingface_hub.utils import logging as remarks

    unreachable = [] if constants.HF_HUB_OFFLINE else _call(constants.ENDPOINT)
    settings = [constants, *filter(None, [sys.modules.get("datasets.config")])]
    before, spoke = [module.HF_HUB_OFFLINE for module in settings], remarks.get_verbosity()
    remarks.set_verbosity_error()
    try:
        for module in settings:
            module.HF_HUB_OFFLINE = module.HF_HUB_OFFLINE or bool(unreachable)
        yield unreachable
    finally:
        remarks.set_verbosity(spoke)
        for module, offline in zip(settings, before, strict=True):
            module.HF_HUB_OFFLINE = offline


def _call(address: str) -> list[str]:
    """Whether a server says anything, be it a refusal: nothing, or why not."""
    from huggingface_hub import get_session

    try:
        get_session().head(address, timeout=ANSWER_SECONDS)
    except Exception as error:  # each version of the client has errors of its own
        return [f"{urlsplit(address).hostname} does not answer ({explain(error)})"]
    return []


def explain(error: Any) -> str:
    """The first line of an error, without the class that urllib puts around it."""
    reason = getattr(error, "reason", None) or error
    return str(reason).strip().split("\n")[0].rstrip(".") or type(error).__name__
