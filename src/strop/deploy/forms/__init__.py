"""Other forms of an export beside model.onnx. One form a file: a class that writes it and opens what it wrote.

`write(net, settings, classes)` gives the bytes of each of its `files`, and `open` takes them and gives a callable,
images (B, H, W, 3) uint8 to probabilities (B, K) float32. A form says in `package` what runs it, in `any_size` whether
it cuts and scales pictures itself, as model.onnx does, or takes squares of the network's size, in `danger` why
`strop verify` does not open one that anyone may have written, in `runs_if_trusted` whether it does when told that the
folder is trusted, and in `about` and `program` what the model card says of it.
None imports torch before it writes or opens.
"""

from ...registry import Registry

forms = Registry("form", __name__, __path__)
