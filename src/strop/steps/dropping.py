"""--dropout and --drop-path: the same network, built anew with them around the same weights."""

from __future__ import annotations

from typing import Any

from .. import artifact
from ..models.classifier import Classifier
from ..models.dropping import drop_options


def with_drops(config: Any, model: Classifier, builder: dict, attributes: dict) -> tuple[Classifier, dict]:
    """The classifier and its builder with the dropout and the stochastic depth that the config asks for.

    Args:
        attributes: in which the network differs from what its builder makes, as model.json records them.
    Raises:
        UserError: the network has no such thing.
    """
    wanted = {what: getattr(config, what) for what in ("dropout", "drop_path") if getattr(config, what) is not None}
    if not wanted:
        return model, builder
    builder = dict(builder, options=builder["options"] | drop_options(builder, wanted))
    net = artifact.rebuild(builder, attributes, model.net.state_dict())
    return Classifier(net, model.preprocess, model.classes), builder
