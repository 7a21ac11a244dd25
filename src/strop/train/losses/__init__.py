"""Losses on labels. One file each: `loss(logits (B, K), target (B,) int64) -> () in nats`, the batch mean."""

from ...registry import Registry

losses = Registry("loss", __name__, __path__)
