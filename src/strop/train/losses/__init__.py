"""Losses on labels. One file each: `loss(logits (B, K), target) -> (B,)`, one value a picture, in nats.

The target is (B,) int64, or (B, K) float: the share of each class in the picture, which mixing makes. What a batch
costs is made of the values by `train.objective.Supervised`, which knows the classes' weights.
"""

from ...registry import Registry

losses = Registry("loss", __name__, __path__)
