"""Which group of `strop VERB --help` an option stands in: the step's own first, then what all trainings have."""

from __future__ import annotations

from typing import Any

from cyclopts import Group

from .steps.options import TrainingOptions
from .steps.step import Step

OF_TRAININGS = {
    "Network": "model pretrained normalize parent fresh freeze dropout drop_path",
    "Training": "epochs batch_size optimizer lr layer_decay schedule warmup warmup_epochs weight_decay clip ema sam "
    "patience on_nan phases rotate",
    "Loss and teacher": "loss class_weights teacher distill cache_teacher sparsify constrain",
    "Pictures": "augment crop_scale sampling validation test fold classes exclude max_unreadable near_copies audit "
    "input_size alpha data",
    "Computing and saving": "precision channels_last compile accumulate virtual_ranks timeout cache_gb save_minutes "
    "save_epochs keep tensorboard",
}
RUN = "Run"
_PLACES = {name: title for title, names in OF_TRAININGS.items() for name in names.split()}
OWN = Group("Options", sort_key=0)
_GROUPS = {title: Group(title, sort_key=place) for place, title in enumerate([*OF_TRAININGS, RUN], 1)}


def group_of(model: type, name: str) -> Group:
    """The group of a field of a step; --json is `json`."""
    if issubclass(model, Step) and (name in Step.model_fields or name == "json"):
        return _GROUPS[RUN]
    if not issubclass(model, TrainingOptions) or name not in _PLACES:
        return OWN
    return _GROUPS[_PLACES[name]]


def in_order(fields: dict[str, Any]) -> dict[str, Any]:
    """As they are listed above, within each group; what is not listed there stays as it is declared, and first."""
    places = {name: place for place, name in enumerate(_PLACES)}
    return dict(sorted(fields.items(), key=lambda item: places.get(item[0], -1)))
