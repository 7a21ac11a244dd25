"""Optimizers. One function each: `optimizer(groups, lr, *, options)` gives a torch optimizer.

`groups` are parameter groups as torch takes them, each with its weight_decay, and where it differs its lr.
"""

from ...registry import Registry

optimizers = Registry("optimizer", __name__, __path__)
