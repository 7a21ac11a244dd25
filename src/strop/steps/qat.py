"""Training a network that rounds, writing what it learned as an ONNX file, and holding the two against each other."""

from __future__ import annotations

import logging
from typing import Any

import torch

from .. import artifact
from ..deploy.onnx import export_float
from ..errors import GateFailed, UserError
from ..measure.paired import mcnemar
from ..models.classifier import Classifier
from ..quantize.calibration import choose_balanced
from ..quantize.layers import describe_layers, name_integer_layers
from ..quantize.static import multiplies_int8_exactly, pack_layers
from ..quantize.weights import BITS, stored_bits
from ..runs import Run, write_json
from ..train.precision import resolve_precision
from .quantizing import Judge, loss_report
from .results import describe_training
from .start import choose_device, open_pictures, resolve
from .step import log
from .subjects import normalize, open_split
from .teachers import load_teacher
from .training import Training

BATCH = 64
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
    rounded, about = _begin(step, run, model, data)
    log.info("%s: %d epochs with rounding, %s on %s", run.id, step.epochs, precision, device)
    parts = {"train": train, "val": val, "teacher": teacher, "device": device, "precision": precision}
    facts = Training(run, rounded, step, **parts).to_best()
    about |= {"layers": _write(run, rounded, about.pop("bits"))}
    if judge is not None:
        about |= loss_report(judge, run.model_file)
        about["fake_quantized"] = judge.score_answers(rounded)
        about["only_file_right"], about["only_trained_right"] = judge.disagreements(run.model_file, rounded)
    if step.controls:
        about["control"] = _train_control(step, run, artifact.load(parent), judge, parts)
    _tell(about, judge)
    return {"quantization": about, "training": describe_training(facts, step)}


def _begin(step: Any, run: Run, model: Classifier, data: Any) -> tuple[Classifier, dict]:
    """The network with its rounding, with ranges from calibration pictures."""
    logging.getLogger("torch.utils._pytree").setLevel(logging.ERROR)  # a deprecation that torchao meets when imported
    try:
        from ..quantize.qat import FakeQuantized
    except ImportError:
        raise UserError(
            "epochs", "torchao is not installed. Write: pip install 'strop[qat]'; or leave --epochs out."
        ) from None
    wanted = BITS[step.scheme]
    given = wanted if multiplies_int8_exactly() else min(wanted, 7)
    preprocess = model.preprocess
    names = [name.removesuffix(".weight") for name, _ in model.net.named_parameters() if name.endswith(".weight")]
    net = FakeQuantized(model.net, preprocess.shape, dict.fromkeys(names, given))
    pictures = open_split(data, "train", preprocess)
    chosen = torch.from_numpy(choose_balanced(data.labels("train"), step.images, seed=step.seed))
    net.observe(torch.from_numpy(normalize(pictures.batch(part).numpy(), preprocess)) for part in chosen.split(BATCH))
    about = {"scheme": step.scheme, "calibrator": "learned", "images": len(chosen), "epochs": step.epochs}
    return Classifier(net, preprocess, model.classes), about | {"bits": dict.fromkeys(net.layers, given)}


def _write(run: Run, rounded: Classifier, bits: dict[str, int]) -> list[dict]:
    """model.onnx of what was learned; a row a layer."""
    from ..quantize.qat import to_integers

    path, shape = run.folder / "model.onnx", rounded.preprocess.shape
    draft = path.with_suffix(".draft")
    export_float(to_integers(rounded.net, shape), shape, draft)
    layers = name_integer_layers(draft, rounded.net.layers)
    few = {layer.nodes[0] for layer in layers if stored_bits(bits[layer.name]) == 4}
    if few:
        pack_layers(draft, few)
    draft.replace(path)
    return describe_layers(path, layers, bits)


class Control(Run):
    """A second training in a run folder, with files of its own in `control/`; it keeps what the first resolved."""

    def __init__(self, run: Run):
        super().__init__(run.folder / "control")
        self.folder.mkdir(exist_ok=True)
        write_json(self.folder / "run.json", run.record)


def _train_control(step: Any, run: Run, model: Classifier, judge: Judge | None, parts: dict) -> dict:
    """The float parent trained as long, with the same options and teacher: what the epochs alone are worth."""
    log.info("%s: the control, %d epochs in float", run.id, step.epochs)
    facts = Training(Control(run), model, step, **parts).to_best()
    scores = judge.score_answers(model) if judge is not None else {}
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
    if "control" in about:
        log.info("  the float parent, trained as long: %.2f %%", 100 * about["control"]["accuracy"])
    about["difference"] = abs(trained - file)
    flips = about["only_file_right"], about["only_trained_right"]
    if about["difference"] > max(APART, 1 / judge.n) + 1e-9 and mcnemar(*flips) < CHANCE:
        raise GateFailed(
            f"the file does not answer as the network that was trained: {100 * file:.2f} % in ONNX Runtime and "
            f"{100 * trained:.2f} % in torch, of {judge.n} validation pictures. Train with another --seed or --lr, or "
            "quantize without --epochs."
        )
