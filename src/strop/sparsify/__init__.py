"""Sparsity. One regulariser a file: `regulariser(model, lr)` is called after each update."""

from ..registry import Registry

regularisers = Registry("regulariser", __name__, __path__)
