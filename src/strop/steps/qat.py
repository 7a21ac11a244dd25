"""Training a network that rounds, writing what it learned as an ONNX file, and holding the two against each other."""

from __future__ import annotations

import logging
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from .. import artifact
from ..deploy.onnx import export_float
from ..errors import GateFailed, UserError
from ..launch import here
from ..measure.paired import mcnemar
from ..models.classifier import Classifier
from ..quantize.layers import Layer, describe_layers, name_layers
from ..quantize.static import multiplies_int8_exactly, pack_layers, prepare
from ..quantize.weights import BITS, stored_bits
from ..runs import Run, write_json
from ..train.precision import resolve_precision
from .bits import SizeOf, choose_bits
from .once import once
from .quantizing import Judge, Writer, calibration_pictures, loss_report
from .results import describe_training
from .start import choose_device, open_pictures, resolve
from .step import log
from .teachers import load_teacher
from .training import Training

APART, CHANCE = 0.001, 0.05  # accuracy in torch and of the file may differ by this, or by what chance would do


def train_quantized(step: Any, run: Run, parents: dict[str, Run], data: Any, judge: Judge | None) -> dict:
    """Train, write model.onnx, and compare; returns what goes into result.json beside `model` and `measured`.

    Raises:
        GateFailed: the file does not answer as the network that was trained.
    """
    parent = parents["parent"]
    model = artifact.load(parent)
    teacher = None
    if step.distill:
        teacher = load_teacher(step.teacher, run, parents, data) if step.teacher else artifact.load(parent)
    device = choose_device(run, step.device)
    # The grid of bfloat16 is about as coarse as that of 8 bits: rounding twice would not be the file's rounding.
    precision = resolve(run, "precision", resolve_precision("fp32", model.net, device))
    train, val = open_pictures(step, run, data, model.preprocess)
    rounded, about = _begin(step, run, parents["parent"], model, data, judge)
    log.info("%s: trained while rounding, %s on %s, epochs: %d", run.id, precision, device, step.epochs)
    parts = {"train": train, "val": val, "teacher": teacher, "device": device, "precision": precision}
    facts = Training(run, rounded, step, **parts).to_best()
    about |= {"layers": _write(run, rounded, about.pop("bits"))}
    if judge is not None:
        file, network = judge.ask_file(run.model_file), judge.ask(rounded)
        about |= loss_report(judge, file)
        about["fake_quantized"] = judge.describe(network)
        about["only_file_right"], about["only_trained_right"] = judge.only_right(file, network)
    if step.controls:
        about["control"] = _train_control(step, run, artifact.load(parent), judge, parts)
    _tell(about, judge)
    if step.max_drop is not None:
        check_drop(step.max_drop, about["accuracy_drop"], judge.n)
    return {"quantization": about, "training": describe_training(facts, step)}


def _begin(
    step: Any, run: Run, parent: Run, model: Classifier, data: Any, judge: Judge | None
) -> tuple[Classifier, dict]:
    """The network with its rounding, with ranges from calibration pictures."""
    logging.getLogger("torch.utils._pytree").setLevel(logging.ERROR)  # a deprecation that torchao meets when imported
    try:
        from ..quantize.qat import FakeQuantized
    except ImportError:
        raise UserError(
            "epochs", "torchao is not installed. Write: pip install 'strop[qat]'; or leave --epochs out."
        ) from None
    preprocess = model.preprocess
    n, batches = calibration_pictures(step, data, preprocess)
    parameters = model.net.named_parameters(remove_duplicate=False)
    names = [name.removesuffix(".weight") for name, _ in parameters if name.endswith(".weight")]
    chosen = {"bits": dict.fromkeys(names, BITS.get(step.scheme)), "about": {}}
    if step.judges_layers():

        def choose() -> dict[str, Any]:
            in_four = FakeQuantized(model.net, preprocess.shape, dict.fromkeys(names, 4))
            return _choose(step, run, parent, model, data, judge, in_four)

        chosen = once(run, "chosen", lambda: here().from_first(choose), file="bits.json")
    most = 8 if multiplies_int8_exactly() else 7
    given = {name: min(bits, most) if bits <= 8 else bits for name, bits in chosen["bits"].items()}
    net = FakeQuantized(model.net, preprocess.shape, given)
    net.observe(torch.from_numpy(images) for images in batches())
    about = {"scheme": step.scheme, "calibrator": "learned", "images": n, "epochs": step.epochs}
    return Classifier(net, preprocess, model.classes), about | chosen["about"] | {
        "bits": {name: given[name] for name in net.layers}
    }


def _choose(
    step: Any, run: Run, parent: Run, model: Classifier, data: Any, judge: Judge, in_four: Any
) -> dict[str, Any]:
    """Bits of each layer as they are chosen where nothing is trained: by calibrated files.

    Args:
        in_four: the network as it will train, with 4 bits everywhere.
    """
    shape = model.preprocess.shape
    with tempfile.TemporaryDirectory() as scratch:
        source, prepared = Path(scratch) / "float.onnx", Path(scratch) / "prepared.onnx"
        export_float(model.net, shape, source)
        prepare(source, prepared)
        writer = Writer(prepared)
        step.calibrate(run, writer, judge, model.preprocess, data)
        called = _match(writer.layers, in_four.layers, model.net)
        size_of = _size_of_file(in_four, shape, called, Path(scratch)) if step.scheme == "mixed" else None
        size = parent.result["model"]["bytes"]
        bits, about = choose_bits(step, writer, judge, size, ways="more --images", size_of=size_of)
        about["calibrated"] = judge.score(writer.write(bits))
    for row in about["sensitivity"]:
        row["layer"] = called[row["layer"]]
    if "kept" in about:
        about["kept"] = {word: [called[layer] for layer in layers] for word, layers in about["kept"].items()}
    return {"bits": {called[layer]: number for layer, number in bits.items()}, "about": about}


def _match(layers: Sequence[Layer], names: Sequence[str], net: torch.nn.Module) -> dict[str, str]:
    """What layers of an exported file are called in the network. The export of a matrix product drops its name."""
    names = list(dict.fromkeys(names))  # one of a tied weight
    if {layer.name for layer in layers} == set(names):
        return {name: name for name in names}
    sizes = [net.get_parameter(f"{name}.weight").numel() for name in names]
    if [layer.size for layer in layers] != sizes:
        raise UserError("epochs", "the layers of this network are not found in its file. Leave it or the choice out.")
    return {layer.name: name for layer, name in zip(layers, names, strict=True)}


def _size_of_file(in_four: Any, shape: tuple[int, int, int], called: Mapping[str, str], scratch: Path) -> SizeOf:
    """Bytes of the file that training will write, by bits of its layers: they do not depend on the weights' values."""
    whole, packed = scratch / "four.onnx", scratch / "packed.onnx"
    layers = _export(in_four, shape, whole)

    def size_of(bits: Mapping[str, int]) -> int:
        shutil.copyfile(whole, packed)
        _pack(packed, layers, {called[layer]: number for layer, number in bits.items()})
        return packed.stat().st_size

    return size_of


def _write(run: Run, rounded: Classifier, bits: Mapping[str, int]) -> list[dict]:
    """model.onnx of what was learned; a row a layer."""
    path = run.folder / "model.onnx"
    draft = path.with_suffix(".draft")
    layers = _export(rounded.net, rounded.preprocess.shape, draft)
    _pack(draft, layers, bits)
    draft.replace(path)
    return describe_layers(path, layers, dict(bits))


def _export(net: Any, shape: tuple[int, int, int], path: Path) -> list[Layer]:
    """A fake-quantized network as a file of integers in 8 bits; its layers."""
    from ..quantize.qat import to_integers

    export_float(to_integers(net, shape), shape, path)
    return name_layers(path, net.layers)


def _pack(path: Path, layers: Sequence[Layer], bits: Mapping[str, int]) -> None:
    few = {layer.nodes[0] for layer in layers if stored_bits(bits[layer.name]) == 4}
    if few:
        pack_layers(path, few)


class Control(Run):
    """A second training in a run folder, with files of its own in `control/`; it keeps what the first resolved."""

    def __init__(self, run: Run):
        super().__init__(run.folder / "control")
        self.folder.mkdir(exist_ok=True)
        write_json(self.folder / "run.json", run.record)


def _train_control(step: Any, run: Run, model: Classifier, judge: Judge | None, parts: dict) -> dict:
    """The float parent trained as long, with the same options and teacher: what the epochs alone are worth."""
    log.info("%s: the control, in float, epochs: %d", run.id, step.epochs)
    facts = Training(Control(run), model, step, **parts).to_best()
    scores = judge.describe(judge.ask(model)) if judge is not None else {}
    return {name: facts[name] for name in ("epochs", "best_epoch", "seconds")} | scores


def _tell(about: dict, judge: Judge | None) -> None:
    """Say what was reached. Raises GateFailed where the file and the trained network differ."""
    if judge is None:
        log.info("  no validation pictures: the file was not held against the network that was trained")
        return
    trained, file = about["fake_quantized"]["accuracy"], about["file"]["accuracy"]
    log.info("  fake-quantized %.2f %%, ONNX Runtime %.2f %%, float parent %.2f %%", *(
        100 * value for value in (trained, file, judge.float["accuracy"])
    ))  # fmt: skip
    if "calibrated" in about:
        log.info("  calibrated with the same bits, not trained: %.2f %%", 100 * about["calibrated"]["accuracy"])
    if "control" in about:
        log.info("  the float parent, trained as long: %.2f %%", 100 * about["control"]["accuracy"])
    elif file > judge.float["accuracy"]:
        log.info("  longer training alone may have done that: --controls trains the parent too")
    about["difference"] = abs(trained - file)
    flips = about["only_file_right"], about["only_trained_right"]
    if about["difference"] <= APART + 1e-9:
        return
    if about["difference"] > 1 / judge.n + 1e-9 and mcnemar(*flips) < CHANCE:
        raise GateFailed(
            f"the file does not answer as the network that was trained: {100 * file:.2f} % in ONNX Runtime and "
            f"{100 * trained:.2f} % in torch, of {judge.n} validation pictures. Train with another --seed or --lr, or "
            "quantize without --epochs."
        )
    log.info("  the file differs from what was trained by %.2f points, as by chance:", 100 * about["difference"])
    log.info("  %d pictures are right in the file only, %d in torch only", *flips)


def check_drop(max_drop: float, lost: float, n: int) -> None:
    """Hold the trained file, too, to the drop for which its bits were chosen.

    Args:
        max_drop: in points.
        lost: accuracy, in [0, 1], of n pictures.
    Raises:
        GateFailed: it loses more.
    """
    if 100 * lost > max_drop + 1e-9:
        raise GateFailed(
            f"--max-drop {max_drop:g}: not held. On {n:,} validation pictures the trained file loses {100 * lost:.2f} "
            "points. Allow more, or train with another --epochs or --lr."
        )
