"""How channels are ranked. One criterion a file: `criterion(channels, generator, *, options) -> (width,) importance`.

`channels` is a `prune.channels.Channels`: what belongs to the channels of a group, one row a channel. A criterion
that looks at gradients says so, `criterion.needs_gradients = True`; it is then asked once for each of some batches, and
the mean counts.
"""

from ...registry import Registry

criteria = Registry("pruning criterion", __name__, __path__)
