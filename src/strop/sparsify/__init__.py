"""Sparsity. One regulariser a file: `regulariser(model, lr, update)` is called after each update.

`update` says how many there were before. A regulariser that has to know the network has `begin(model, example)` too,
called once before the first update with the weights that training starts from, in a resumed training as well. So what
it does is a function of those weights and of `update`, and nothing has to be kept in a checkpoint.
"""

from ..registry import Registry

regularisers = Registry("regulariser", __name__, __path__)
