"""Distillation of what lies between. One loss a file: `loss(ours, theirs) -> ()`, a batch mean, of pairs of maps.

`ours` and `theirs` are lists of (B, C, H, W), one entry a pair of stages. A loss names the stages in its options
`student` and `teacher` and is told the channels of the pairs by `fit`, where it makes what it trains beside the
student.
It has a `weight`, and leaves the loss on the labels as it is.
"""

from ...registry import Registry

maps = Registry("distillation loss on maps", __name__, __path__)
