"""What keeps weights in a shape that quantizes well while they train. One constraint a file.

A constraint is called after each update like a regulariser, `constraint(model, lr, update)`, or it has
`penalty(model) -> ()`, which is added to the mean loss of each batch; one that has it does nothing when called.
"""

from ...registry import Registry

constraints = Registry("constraint", __name__, __path__)
