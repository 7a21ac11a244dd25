"""Precision, layout, compiling and the batch size as options: what they mean, and that they are resolved once."""

import pytest
import torch

from strop.runs import Run
from strop.steps import computing, training
from strop.steps.fields import usual_batch
from strop.train import memory

FAST = ["--model", "cnn3", "--validation", "20%", "--epochs", 2, "--batch-size", 16, "--lr", 0.01]


def weights(run):
    return (run / "model.safetensors").read_bytes()


def test_half_precision_resumes_to_the_bit(shapes, strop, tmp_path, monkeypatch, read):
    """Scaled gradients on the CPU; cut off inside the epoch, the same command gives the same bytes."""
    words = ["train", shapes, *FAST[:4], "--epochs", 1, *FAST[6:], "--precision", "fp16"]
    assert strop(*words, "--out", "whole").code == 0
    with monkeypatch.context() as patch:
        save = training.Training._save

        def save_and_cut(self, progress, **more):
            save(self, progress, **more)
            if progress.step == 7:
                self.checkpoints.wait()
                raise KeyboardInterrupt

        patch.setattr(training.Training, "_save", save_and_cut)
        assert strop(*words, "--out", "cut", "--save-minutes", 0).code == 130
    index = max((tmp_path / "cut" / "checkpoints").glob("step-*.json"))
    assert read(index.parent, index.name)["facts"]["scaler"]["scale"] < 2**16  # halved already: losing it would show
    assert strop(*words, "--out", "cut").code == 0
    assert weights(tmp_path / "cut") == weights(tmp_path / "whole")
    assert Run(tmp_path / "cut").result["training"]["precision"] == "fp16"


@pytest.mark.parametrize(("wanted", "resolved"), [("auto", True), ("false", False)])
def test_layout_of_the_pictures(shapes, strop, tmp_path, monkeypatch, wanted, resolved):
    """The network's first convolution is given what was asked for, in training; the file on disk is the same kind."""
    seen, real = set(), torch.nn.Conv2d.forward

    def forward(self, images):
        seen.add(images.is_contiguous(memory_format=torch.channels_last) and images.shape[1] > 1)
        return real(self, images)

    monkeypatch.setattr(torch.nn.Conv2d, "forward", forward)
    assert strop("train", shapes, *FAST, "--channels-last", wanted, "--precision", "fp32").code == 0
    assert (True in seen) is resolved
    assert Run(tmp_path / "runs" / "cnn3").record["resolved"]["channels_last"] is resolved


def test_compiling_changes_no_name(shapes, strop, tmp_path, monkeypatch):
    """With the compiler that does nothing, the bytes are those of an uncompiled run, and the export still works."""
    monkeypatch.setattr(computing, "COMPILER", "eager")
    assert strop("train", shapes, *FAST, "--precision", "fp32", "--compile", "--out", "compiled").code == 0
    assert strop("train", shapes, *FAST, "--precision", "fp32", "--out", "plain").code == 0
    assert weights(tmp_path / "compiled") == weights(tmp_path / "plain")
    assert strop("export", "compiled").code == 0


def test_batch_size_is_found_once(shapes, strop, tmp_path, monkeypatch):
    """At least 8 updates an epoch of 192 pictures: 16. Resumed with more memory it stays what it was."""
    words = ["train", shapes, *FAST[:6], "--batch-size", "auto", "--lr", 0.01]
    monkeypatch.setattr(computing, "make_fits", lambda *given: lambda pictures: pictures <= 8)
    with monkeypatch.context() as patch:
        patch.setattr(training.Training, "_fit", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        assert strop(*words).code == 130
    assert Run(tmp_path / "runs" / "cnn3").record["resolved"]["batch_size"] == 8
    monkeypatch.setattr(computing, "make_fits", lambda *given: lambda pictures: True)
    assert strop(*words).code == 0
    assert Run(tmp_path / "runs" / "cnn3").record["resolved"]["batch_size"] == 8
    assert strop(*words, "--out", "again").code == 0
    assert Run(tmp_path / "again").record["resolved"]["batch_size"] == 16


def test_the_usual_batch_leaves_enough_updates():
    """The largest power of two up to 128 with 8 updates an epoch; 16 where a set is too small for that."""
    for n in range(1, 3000, 7):
        size = usual_batch(n)
        assert size in (16, 32, 64, 128)
        assert size == 16 or n / size >= 8, "enough updates"
        assert size == 128 or n / (2 * size) < 8, "no smaller than it must be"
    assert usual_batch(40, parts=16) == 32, "two pictures for each part of a batch"


def test_a_batch_that_is_not_asked_for_suits_the_set(shapes, strop, tmp_path):
    """192 pictures: 16 at a time, 12 updates, the very bytes of --batch-size 16; one that is asked for is taken."""
    words = ["train", shapes, *FAST[:4], "--epochs", 1, "--lr", 0.01]
    usual, asked = strop(*words, "--out", "usual"), strop(*words, "--batch-size", 16, "--out", "asked")
    assert "  batch size 16\n" in usual.out and "updates" not in usual.out + asked.out
    assert weights(tmp_path / "usual") == weights(tmp_path / "asked")
    assert Run(tmp_path / "usual").record["resolved"]["batch_size"] == 16
    for size, said in ((128, "only 2 updates an epoch"), (256, "only 1 update an epoch")):
        assert said in strop(*words, "--batch-size", size, "--out", f"of-{size}").out
        assert Run(tmp_path / f"of-{size}").result["training"]["batch_size"] == size
    assert Run(tmp_path / "usual").result["training"]["batch_size"] == 16


def test_out_of_memory_names_a_batch_size_that_fits(shapes, strop, monkeypatch):
    """torch's own error at the first update; exit 1, with a batch size for which there is room."""
    monkeypatch.setattr(memory, "free_bytes", lambda: 3_000_000)
    real = training.fit

    def hungry(*given, **more):
        torch.empty(1 << 60, dtype=torch.uint8)
        yield from real(*given, **more)

    monkeypatch.setattr(training, "fit", hungry)
    failed = strop("train", shapes, *FAST[:6], "--batch-size", 64)
    assert failed.code == 1 and "out of memory at batch size 64. --batch-size " in failed.err
    assert "computes the same batch in chunks of that size" in failed.err


def test_wrong_values_are_refused(strop, shapes):
    """With what to write instead."""
    for words, said in (
        (("--precision", "fp8"), "auto, bf16, fp16, fp32"),
        (("--channels-last", "yes"), "auto, false, true"),
        (("--batch-size", "all"), "'all' is neither auto nor a whole number"),
        (("--batch-size", 1), "Write 2 to 65536, or auto"),
    ):
        refused = strop("train", shapes, "--model", "cnn3", *words)
        assert refused.code == 2 and words[0] in refused.err and said in refused.err, refused.err
