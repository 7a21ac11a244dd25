"""What the report says of a pruned network, and the picture of what each group of channels costs."""

from types import SimpleNamespace

from PIL import Image

from strop.report.pruning_charts import sensitivity
from strop.report.sections.compression import pruning


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
