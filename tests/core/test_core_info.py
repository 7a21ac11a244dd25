"""`strop info` as a user sees it: JSON, text at 80 columns, refusals."""

import json

import pytest

from strop.report.understanding import guideline_columns, layer_columns


def info(strop, *words):
    code, out, err = strop("info", *words, "--json")
    assert code == 0, err
    return json.loads(out)


def test_resnet18_at_64(strop):
    """11,181,642 parameters and 148,050,944 MACs; 148,864,512 as thop counts (the write-up's 0.149 G)."""
    _, out, _ = strop("info", "resnet18", "--input-size", "64", "--classes", "10", "--json")
    assert '"parameters": 11181642' in out and '"macs": 148050944' in out
    found = json.loads(out)
    assert sum(row["macs"] for row in found["layers"]) == 148_050_944
    assert found["stages"] == {
        "stem": 9_536, "layer1": 147_968, "layer2": 525_568, "layer3": 2_099_712, "layer4": 8_393_728, "head": 5_130
    }  # fmt: skip
    thop = info(strop, "resnet18", "--input-size", "64", "--classes", "10", "--convention", "thop")
    assert thop["macs"] == sum(row["macs"] for row in thop["layers"]) == 148_864_512
    assert thop["macs_convention"].startswith("thop")


def test_total_size_of_the_write_up(strop):
    """CNN_2 of [002] at batch 64: 40.63 MB."""
    found = info(strop, "cnn2", "--classes", "100", "--convention", "torchsummary", "--batch-size", "64")
    assert round(found["total_size"]["total"], 2) == 40.63 and found["parameters"] == 219_044


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("resnet18", ()),
        ("vit_b_32", ()),
        ("shufflenet_v2_x1_0", ("--all",)),
        ("squeezenet1_1", ("--measure", "--rounds", "3")),
        ("cnn3", ("--depth", "1")),
    ],
)
def test_text_fits_80_columns(strop, name, words):
    """Whatever is folded or timed; the total is the last row."""
    code, out, _ = strop("info", name, "--input-size", "64", *words)
    assert code == 0 and max(map(len, out.splitlines())) <= 80
    assert "freeze groups: " in out and "G4 element-wise operations" in out
    assert any(line.startswith("total ") for line in out.splitlines())
    assert ("rank correlation" in out) == ("--measure" in words)


def test_more_rows_with_more_depth(strop):
    """--depth 1 shows children, the default blocks, --all every layer."""
    rows = [len(info(strop, "resnet18", "--input-size", "32", *w)["layers"]) for w in (["--depth", "1"], [], ["--all"])]
    assert rows == sorted(rows) and rows[0] == 10 and rows[1] == 14  # torchvision's flatten moves nothing


def test_times_add_up(strop):
    """The shares of the rows sum to one, folded or not."""
    found = info(strop, "cnn3", "--measure", "--rounds", "3", "--batch-size", "2")
    assert sum(row["time_share"] for row in found["layers"]) == pytest.approx(1, abs=1e-4)
    assert found["measured"]["batch_size"] == 2 and set(found["measured"]["rank_correlation"]) == {
        "macs",
        "memory_access",
    }
    assert layer_columns(found, 80)[-1].heading == "MACs %"


def test_wide_terminals_see_the_class(strop):
    found = info(strop, "cnn3")
    assert "class" in [column.title for column in layer_columns(found, 120)]
    assert "class" not in [column.title for column in layer_columns(found, 80)]
    assert len(guideline_columns(found["guidelines"])[0].cells) == 4


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["resnet81"], "'resnet81' is unknown. Did you mean 'resnet"),
        (["runs/nothing"], "runs/nothing: there is no such folder. Give a run, or a network by name."),
        (["."], "is not a run folder"),
        (["squeezenet1_1", "--input-size", "8"], "--input-size: squeezenet1_1 refuses a picture of 3x8x8: "),
        (["vit_b_32", "--input-size", "100"], "--input-size: vit_b_32 refuses a picture of 3x100x100: "),
        (["cnn5", "--input-size", "16"], "16 is too small for 5 poolings. Write 32 or more."),
        (["resnet18", "--all", "--depth", "2"], "--all and --depth contradict each other. Leave one out."),
        (["resnet18", "--convention", "fvcore"], "'fvcore' is not an option."),
        (["vit_b_32", "--convention", "torchsummary"], "torchsummary fails on nn.MultiheadAttention."),
        (["resnet18", "--diagram", "net.png"], "is drawn as SVG. Write a name that ends in .svg."),
        (["resnet18", "--diagram", "no/net.svg"], "there is no folder no. Make it first."),
        (["resnet18", "--input-size", "0"], "--input-size"),
        (["squeezenet:bypas=simple"], "Did you mean 'bypass'?"),
        (["cnn3", "--measure", "--device", "cuda:7"], "Write --device cpu, or auto."),
    ],
)
def test_refusals(refused, words, said):
    """One sentence with the remedy, exit 2, and nothing written."""
    assert said in refused("info", *words)


def test_an_unfinished_or_quantized_run(refused, strop, make_run):
    make_run("half", status="running")
    assert "train is unfinished here" in refused("info", "half")
    folder = make_run("int8")
    (folder / "model.safetensors").rename(folder / "model.onnx")
    assert "info needs a float model" in refused("info", "int8")
    make_run("whole")
    assert "'whole' is a run and has its own" in refused("info", "whole", "--classes", "3")


def test_the_diagram_is_written_once(strop, here):
    """A new file; one that is there is left alone."""
    code, out, _ = strop("info", "resnet18", "--input-size", "32", "--diagram", "net.svg")
    assert code == 0 and out.rstrip().endswith("net.svg")
    drawn = (here / "net.svg").read_text()
    assert drawn.startswith("<svg ") and "2 x layer1.0" in drawn and "layer4" in drawn
    code, _, err = strop("info", "cnn3", "--diagram", "net.svg")
    assert code == 2 and "strop overwrites nothing" in err and (here / "net.svg").read_text() == drawn


def test_grey_pictures(strop):
    """--channels 1 makes the first layer read one channel: 64 * 7 * 7 * 2 weights fewer."""
    grey, colour = (info(strop, "resnet18", "--input-size", "32", *words) for words in (["--channels", "1"], []))
    assert grey["input_size"] == [1, 32, 32] and colour["parameters"] - grey["parameters"] == 64 * 49 * 2


def test_options_of_a_network(strop):
    """The squeeze ratio 0.25 of the SqueezeNet paper's sweep makes it larger."""
    plain, wide = (info(strop, name)["parameters"] for name in ("squeezenet", "squeezenet:sr=0.25"))
    assert wide > plain
