"""What lies beside an exported file: class names, evidence, and a page that says how to use it."""

from __future__ import annotations

import json

from ..runs import Run, file_hash, write_json, write_whole

MODEL_CARD = """# {name}, exported by strop

{model} for {size} x {size} {colour} pictures in {count} classes: {classes}.

| | |
| --- | --- |
| trained | {trained} |
| parameters | {parameters:,} |
| multiply-accumulates | {macs:,} |
| file | `{file}`, {bytes:,} bytes, `{hash}` |
| accuracy | {accuracy:.2f} % on {n} {split} pictures ({low:.2f} to {high:.2f}, {method}) |
| latency | {p50:.3f} ms a picture (p50; p95 {p95:.3f}), 1 thread, {processor} |

These figures were measured on this very file; `evidence.json` holds them with the hashes.

```python
import json, numpy as np, onnxruntime
from PIL import Image

session = onnxruntime.InferenceSession("model.onnx")
classes = json.load(open("classes.json", encoding="utf-8"))
image = Image.open("picture.png").convert("{mode}")
side = min(image.size)  # cut the centre square, then scale it
left, top = (image.width - side) // 2, (image.height - side) // 2
image = image.crop((left, top, left + side, top + side))
image = image.resize(({size}, {size}), Image.HAMMING if side > {size} else Image.BILINEAR)
pixels = np.asarray(image, np.uint8).reshape({size}, {size}, {channels}).transpose(2, 0, 1)[None]
probabilities = session.run(None, {{"images": pixels}})[0][0]
print(classes[probabilities.argmax()], probabilities.max())
```
"""


def write_deployment(run: Run, result: dict, parents: dict[str, Run]) -> None:
    """Write classes.json, evidence.json and README.md beside model.onnx."""
    scores, model = result["measured"][0], result["model"]
    write_json(run.folder / "classes.json", scores["classes"])
    write_json(
        run.folder / "evidence.json",
        {
            "file": "model.onnx",
            "sha256": file_hash(run.folder / "model.onnx").removeprefix("sha256:"),
            "bytes": model["bytes"],
            "accuracy": {
                name: scores[name]
                for name in (
                    "split",
                    "n",
                    "accuracy",
                    "accuracy_interval",
                    "interval_method",
                    "macro_precision",
                    "macro_recall",
                    "macro_f1",
                    "top5",
                    "top5_interval",
                    "loss",
                    "brier",
                    "ece",
                    "ece_bins",
                    "test_set",
                    "looks",
                )
                if name in scores
            },
            "latency": result["latency"],
            "data": scores["data"],
            "classes": scores["classes"],
            "parents": run.record["parents"],
            "versions": run.record["versions"],
            "machine": run.record["machine"],
        },
    )
    channels, size, _ = model["input_size"]
    low, high = scores["accuracy_interval"]
    card = MODEL_CARD.format(
        name=parents["parent"].id,
        model=model["name"],
        size=size,
        channels=channels,
        colour="grey" if channels == 1 else "RGB",
        mode="L" if channels == 1 else "RGB",
        count=len(scores["classes"]),
        classes=", ".join(json.dumps(name, ensure_ascii=False) for name in scores["classes"]),
        trained=", ".join(model["trained"]) or "plainly",
        parameters=model["parameters"],
        macs=model["macs"],
        file=model["file"],
        bytes=model["bytes"],
        hash=file_hash(run.folder / "model.onnx"),
        n=scores["n"],
        split=scores["split"],
        accuracy=100 * scores["accuracy"],
        low=100 * low,
        high=100 * high,
        method=scores["interval_method"],
        p50=result["latency"]["latency_ms"]["p50"],
        p95=result["latency"]["latency_ms"]["p95"],
        processor=run.record["machine"]["processor"],
    )
    write_whole(run.folder / "README.md", card.encode())
