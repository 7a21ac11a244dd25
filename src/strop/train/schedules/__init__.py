"""Learning-rate schedules. One function each: `schedule(epoch, epochs, warmup, *, options)` gives a factor.

`epoch` counts what is done of the training, in epochs and with a fraction, from 0 up to `epochs`; `warmup` of them
belong to the warm-up. The learning rate of an update is its base times the factor.
"""

from ...registry import Registry

schedules = Registry("schedule", __name__, __path__)
