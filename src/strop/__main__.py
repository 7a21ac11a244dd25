"""`python -m strop`."""

from .cli import run

run()
