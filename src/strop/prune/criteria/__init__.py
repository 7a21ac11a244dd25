"""How channels are ranked. One criterion a file: `criterion(rows, generator, *, options) -> (width,) importance`.

`rows` holds, for each layer of a group, its weights as a (width, n) tensor: row c is all that channel c owns there.
"""

from ...registry import Registry

criteria = Registry("pruning criterion", __name__, __path__)
