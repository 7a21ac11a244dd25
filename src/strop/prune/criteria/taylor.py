"""Taylor: what the loss would change by, to first order, if the channel were silent."""

import torch
from torch import Tensor

from ..channels import Channels
from . import criteria


@criteria.add("taylor")
def taylor(channels: Channels, generator: torch.Generator) -> Tensor:
    """The squared first-order change of the loss on a batch when nothing reads the channel any more.

    importance_c = (sum over all weights w that read c of w dL/dw)**2, mean over batches

    Source: Molchanov et al., "Importance Estimation for Neural Network Pruning", CVPR 2019, arXiv:1906.10771 (their
    gate on a channel). Unlike summing over the weights that make the channel: before a batch norm that sum is always
    zero, because the loss does not depend on their scale.

    Shape:
        Returns: (width,), in nats squared; comparable between layers as it is.
    """
    change = torch.zeros(len(channels.makers[0]))
    for weights, gradients in zip(channels.readers, channels.reader_gradients, strict=True):
        change += (weights.float() * gradients.float()).sum(1)
    return change.square()


taylor.needs_gradients = True
