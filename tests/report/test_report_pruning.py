"""What the report says of a pruned network, and the picture of what each group of channels costs."""

from types import SimpleNamespace

from PIL import Image

from strop.report.pruning_charts import sensitivity
from strop.report.sections.compression import pruning
from strop.report.stored import total


def told(**block):
    return pruning(SimpleNamespace(result={"pruning": block}))


def test_a_latency_in_rounds_after_blocks_went():
    """Milliseconds have their unit, blocks and rounds are named in their order, and names are escaped."""
    page = told(
        budget="25%",
        kind="latency",
        before=4.0,
        after=0.98765,
        criterion="group-norm",
        scope="local",
        blocks=[{"block": "layer3.<1>", "loss": 0.4}, {"block": "layer2.1", "loss": 0.5}],
        rounds=[{"round": 1, "after": 2_000_000}, {"round": 2, "after": 0.98765}],
    )
    assert "25% of the latency" in page and "4 to 0.9877 ms" in page
    assert "layer3.&lt;1&gt;, layer2.1" in page and "2,000,000, 0.9877" in page


def test_blocks_alone_have_no_budget():
    """Nothing is said of a budget that was not given."""
    page = told(blocks=[{"block": "layer3.1", "influence": 0.06}])
    assert "layer3.1" in page and "budget" not in page and "before and after" not in page


ROW = {"layer": "conv<1>", "weights": 100, "sparsity": 0.9, "bits": 32, "stored_bits": 32, "bytes_before": 400}


def test_bytes_of_layers_and_whether_they_save_time():
    """400 + 600 bytes to 60 + 240 are 3.3 times smaller, 90 of 250 weights are zero; names and the note are escaped."""
    rows = [
        ROW | {"bytes_after": 60, "ratio": 6.667, "packed": True},
        ROW | {"layer": "fc", "weights": 150, "sparsity": 0.0, "bytes_before": 600, "bytes_after": 240, "ratio": 2.5},
    ]
    assert total(rows) | {"ratio": 3.333} == {
        "layer": "2 layers", "weights": 250, "sparsity": 0.36, "bytes_before": 1000, "bytes_after": 300, "ratio": 3.333,
    }  # fmt: skip
    about = {"budget": "10%", "kind": "params", "before": 250, "after": 25, "scope": "local"}
    page = told(**about, method="unstructured", layers=rows, note="Zeros save <bytes>, not time.")
    assert "Bytes of 2 layers: 1,000 to 300, 3.3 times smaller" in page and "conv&lt;1&gt;" in page
    assert "<p>Zeros save &lt;bytes&gt;, not time.</p>" in page and "250 to 25 that are not zero" in page
    assert "unstructured, local" in page and "?" not in page
    assert "svd: 2 layers are two thin ones" in told(**about, method="svd", ranks={"conv1": 4, "fc": 2})


def test_a_layer_that_went_has_no_ratio():
    """Its bytes went to nothing: no figure, and no fault."""
    gone = ROW | {"sparsity": 0.0, "bytes_after": 0, "ratio": None}
    assert "<td>-</td>" in told(blocks=[{"block": "layer3.1"}], layers=[gone])


def test_sensitivity_is_drawn(tmp_path):
    """Three shares of two groups give a picture that is wider than high."""
    rows = [
        {"group": group, "ratio": ratio, "loss_rise": ratio * rise, "n": 250}
        for group, rise in (("conv1", 1.0), ("layer1.0.conv1", 0.2))
        for ratio in (0.25, 0.5, 0.75)
    ]
    sensitivity(rows, tmp_path / "sensitivity.png")
    with Image.open(tmp_path / "sensitivity.png") as picture:
        assert picture.width > picture.height > 100 and len(picture.convert("RGB").getcolors(1 << 20)) > 20
