"""The steps: where parts meet. Each is a frozen config with `execute()`; torch is imported only while one runs."""

from importlib import import_module

VERBS = {
    "train": "Train",
    "crossval": "CrossValidate",
    "prune": "Prune",
    "quantize": "Quantize",
    "export": "Export",
    "evaluate": "Evaluate",
    "bench": "Bench",
    "audit": "Audit",
    "predict": "Predict",
    "verify": "Verify",
    "info": "Info",
}


def step_class(verb: str) -> type:
    """The config class of a verb, e.g. `Train` for "train"."""
    return getattr(import_module(f".{verb}", __name__), VERBS[verb])
