"""Networks as users write them: names with options."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

import strop.models
from strop.config import Part
from strop.errors import UserError
from strop.models import build, models
from strop.models.choice import read_model, written_model
from strop.steps.train import Train

SWIN = "timm:swin_tiny_patch4_window7_224:depths=1,2,num_heads=2,4,embed_dim=16,window_size=4"


@pytest.mark.parametrize(
    "written", ["squeezenet:sr=0.25,bypass=simple", {"squeezenet": {"sr": 0.25, "bypass": "simple"}}]
)
def test_text_and_yaml_say_the_same(written):
    """Every option of our own networks is filled in, and none that the data decide."""
    options = read_model(written).options
    assert (options["sr"], options["bypass"], options["stem"], options["freq"]) == (0.25, "simple", "1.1", 2)
    assert set(options) == set(models.entries()["squeezenet"].options) - {"input_size"}


def test_a_library_may_stand_before_the_name():
    """Its options become plain values: their types are known to the builder only."""
    assert read_model("tv:resnet18") == Part(name="tv:resnet18")
    with_options = read_model("timm:resnet18.a1_in1k:drop_rate=0.1,act_layer=gelu,zero_init_last=false,k=none")
    assert with_options.name == "timm:resnet18.a1_in1k"
    assert with_options.options == {"drop_rate": 0.1, "act_layer": "gelu", "zero_init_last": False, "k": None}


@pytest.mark.parametrize(
    "text", ["cnn2", "tv:resnet18", "squeezenet:sr=0.25,final_relu=False", "timm:resnet18:drop_rate=0.1", SWIN]
)
def test_the_shortest_text_reads_back(text):
    """What a table shows can be given to --model again."""
    assert written_model(read_model(text)) == text


def test_a_list_is_written_with_commas():
    """Up to the next option; in YAML as a list. The network has these blocks, is saved in JSON, and can be rebuilt."""
    part = read_model(SWIN)
    assert part.options == {"depths": (1, 2), "num_heads": (2, 4), "embed_dim": 16, "window_size": 4}
    in_yaml = {"depths": [1, 2], "num_heads": [2, 4], "embed_dim": 16, "window_size": 4}
    assert read_model({"timm:swin_tiny_patch4_window7_224": in_yaml}) == part
    step = Train(data="d", model=SWIN)
    assert json.loads(json.dumps(step.settings()))["model"] == {part.name: in_yaml}
    assert read_model("timm:swin_tiny_patch4_window7_224:depths=[1],num_heads=[2]").options["depths"] == (1,)
    net = build(part.name, num_classes=4, input_size=32, **json.loads(json.dumps(part.options)))
    assert [len(stage.blocks) for stage in net.layers] == [1, 2]


def test_defaults_are_not_written():
    """Only what makes the network another one."""
    assert written_model(read_model("shufflenet_v2:width=1,se=true,head=linear")) == "shufflenet_v2:se=True"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("squeezenet:bypas=simple", "squeezenet.bypas: unknown option. Did you mean 'bypass'?"),
        ("squeezenet:sr=wide", "squeezenet.sr: 'wide' is not a value of type float."),
        ("squeezenet:simple", "'squeezenet:' is no library. Write tv:NAME, timm:NAME or NAME alone."),
        ("squeezenett:sr=1", "'squeezenett' is unknown. Did you mean 'squeezenet'?"),
        ("torch:resnet18", "'torch:' is no library. Write tv:NAME, timm:NAME or NAME alone."),
        ("cnn2:input_size=64", "'input_size' is not an option of a network: the data and the input size decide it."),
        ("resnet18:weights=DEFAULT", "'weights' is not an option of a network: --pretrained names weights."),
        ("timm:resnet18:features_only=true", "it gives no logits"),
        ("squeezenet:sr,freq=1", "is not readable. Write a name, name:option=value"),
        ("resnet18:a=[[1],2]", "[[1], 2] is neither a number, a text, true, false nor a list of these"),
        ("resnet18:a={1:2}", "is neither a number"),
        ({"squeezenet": {"stem": 1.1}}, "squeezenet.stem: 1.1 is not a value of type str. Put it in quotes."),
        ({"squeezenet": 3}, "is not readable"),
        (3, "is not readable"),
    ],
)
def test_what_can_not_be_read_is_refused_before_anything_runs(text, said):
    """With what to write instead; in a step's config as well."""
    with pytest.raises(ValueError) as caught:
        read_model(text)
    assert said in str(caught.value)
    with pytest.raises(UserError, match="strop.Train: model: "):
        Train(data="d", model=text)


def test_a_step_keeps_options_and_bare_names_stay_bare():
    """The name of the run is the network's; a config file can be read back."""
    step = Train(data="d", model="timm:resnet18:drop_rate=0.1")
    assert step.default_id({}) == "timm-resnet18"
    assert step.settings()["model"] == {"timm:resnet18": {"drop_rate": 0.1}}
    assert Train(data="d", model=step.settings()["model"]) == step
    assert Train(data="d", model="resnet18").settings()["model"] == "resnet18"
    assert Train(data="d", model="cnn2").settings()["model"] == {"cnn2": {"dropout": 0.0}}
    assert Train(data="d", parent="p").settings()["model"] is None


def test_reading_imports_no_torch():
    """A wrong option is told in a fraction of a second."""
    read = "from strop.models.choice import read_model; read_model('squeezenet:sr=1')"
    code = f"import sys; {read}; print('torch' in sys.modules)"
    source = {"PYTHONPATH": str(Path(strop.models.__file__).parents[2])}
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=source)
    assert run.stdout.strip() == "False"


@pytest.mark.parametrize("option", ["checkpoint_path", "pretrained_cfg", "weights"])
def test_a_file_can_not_slip_in_through_a_builder(option, tmp_path):
    """model.json names builder options: none of them may have a library read another file."""
    planted = tmp_path / "evil.pth"
    planted.write_bytes(b"cos\nsystem\n")
    with pytest.raises(UserError, match=f"'{option}' is not an option"):
        build("timm:test_resnet", num_classes=2, **{option: str(planted)})
