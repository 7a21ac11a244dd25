"""Distillation. One loss a file: `loss(student (B, K), teacher (B, K), target (B,)) -> () in nats`, the batch mean.

Each loss says in `weight` and `hard_weight` how its authors mix it with the loss on the labels.
"""

from ..registry import Registry

losses = Registry("distillation loss", __name__, __path__)
