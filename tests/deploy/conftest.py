"""Exporting takes seconds: each network once."""

import pytest
import torch

from strop.config import Budget
from strop.deploy.onnx import export_float
from strop.models import build
from strop.prune.criteria import criteria
from strop.prune.prune import prune


@pytest.fixture(scope="session")
def exported(tmp_path_factory):
    """exported(name, channels, budget) -> (network in eval mode, its float ONNX file); made when first asked for."""
    made = {}

    def get(name="cnn3", channels=1, budget=None):
        if (name, channels, budget) not in made:
            torch.manual_seed(0)
            net = build(name, num_classes=10, in_chans=channels, input_size=32)
            for module in net.modules():
                if isinstance(module, torch.nn.BatchNorm2d):
                    module.running_mean.normal_(0, 0.1)
                    module.running_var.uniform_(0.5, 2)
            with torch.no_grad():
                net.fc.weight.mul_(30)  # untrained, all classes would be nearly equal
            shape = (channels, 32, 32)
            if budget:
                ranked = criteria.get("group-norm")
                prune(net, shape, kind="params", budget=Budget.read(budget), criterion=ranked)
            path = tmp_path_factory.mktemp(name) / "float.onnx"
            export_float(net, shape, path)
            made[name, channels, budget] = net.eval(), path
        return made[name, channels, budget]

    return get
