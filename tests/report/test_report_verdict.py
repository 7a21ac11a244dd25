from strop.report.numbers import names
from strop.report.rows import collect
from strop.report.verdict import judge, smaller


def test_verdict_picks_the_smallest_within_two_points(family):
    """The best has 0.880; 0.864 at 1.04 MB is close enough, 44.71 / 1.04 = 43 times smaller, 3.12 / 0.67 = 4.7."""
    _, paths = family
    verdict = judge(collect(paths).rows)
    assert (verdict.best.id, verdict.pick.id) == ("student", "small-int8")
    assert verdict.headline == "Ship small-int8: it is the smallest model within 2 points of the best, student."
    assert verdict.why[0].startswith("small-int8 is right on 86.4 % of the 500 test pictures (95 % interval ")
    assert verdict.why[0].endswith("its file, small-int8-onnx/model.onnx, has 1.04 MB.")
    assert verdict.why[1].startswith("Against student: 86.4 % instead of 88.0 %, 43 times smaller")
    assert "4.7 times faster" in verdict.why[1]


def test_verdict_does_not_pick_what_lost_too_much(folders):
    """A tiny model 5 points below is not the answer."""
    rows = collect([folders.model("good", accuracy=0.9), folders.model("tiny", accuracy=0.85, parameters=1000)]).rows
    assert judge(rows).pick.id == "good"


def test_verdict_says_slower_where_it_is_slower(folders):
    """Smaller is not faster when the bench says otherwise."""
    runs = [folders.model("big", accuracy=0.9), folders.model("small", accuracy=0.89, parameters=1000)]
    folders.bench("bench", {"big": 1.0, "small": 2.0})
    assert "2.0 times slower" in judge(collect(runs).rows).why[1]


def test_latencies_that_differ_by_noise_are_equal(folders):
    """1.01 ms against 1.00 ms is no speed: a bench scatters by more than 2 %."""
    runs = [folders.model("big", accuracy=0.9), folders.model("small", accuracy=0.89, parameters=1000)]
    folders.bench("bench", {"big": 1.0, "small": 1.01})
    assert "and as fast at batch 1" in judge(collect(runs).rows).why[1]


def test_verdict_without_measurements_says_so(folders):
    """No accuracy, no verdict."""
    verdict = judge(collect([folders.model("net", measured=[])]).rows)
    assert verdict.pick is None and verdict.headline.startswith("Nothing was measured on test or val yet")
    assert verdict.unmeasured == ["The accuracy of net.", "The latency of net."]


def test_order_that_may_be_chance_is_named(folders):
    """n = 500: 0.88 +- 0.028 and 0.864 +- 0.03 overlap, 0.70 +- 0.04 lies apart from both."""
    rows = collect(
        [
            folders.model("a", accuracy=0.88),
            folders.model("b", accuracy=0.864, parameters=10),
            folders.model("c", accuracy=0.7),
        ]
    ).rows
    said = judge(rows).apart
    assert said[0] == "c is worse than b: their 95 % intervals do not overlap."
    assert said[1].startswith("The 95 % intervals of b and of a overlap")


def test_what_nobody_measured_is_said(folders):
    """Validation only, another file than the one that ships, no bench: three sentences; nothing where all is there."""
    on_val = [folders.measure(0.9, file_hash="sha256:x", file="model.safetensors", split="val")]
    said = judge(collect([folders.model("val", measured=on_val)]).rows).unmeasured
    assert said == [
        "The accuracy of val on test pictures: validation pictures chose the epoch.",
        "The latency of val.",
    ]
    net = folders.model("net")
    folders.bench("bench", {"net": 1.0})
    assert judge(collect([net]).rows).unmeasured == []


def test_long_lists_of_names_are_cut():
    """Seven are said, of eight six and how many more."""
    assert names(list("abcdefg")) == "a, b, c, d, e, f and g"
    assert names(list("abcdefgh")) == "a, b, c, d, e, f and 2 more"


def test_small_differences_in_size_are_percent(folders):
    """3.996 MB instead of 4 is not "1.00 times smaller"; half is twice."""
    rows = collect([folders.model(n, size=s) for n, s in (("a", 4_000_000), ("b", 3_996_000), ("c", 2_000_000))]).rows
    assert (smaller(rows[1], rows[0]), smaller(rows[2], rows[0])) == ("0.1 % smaller", "2.0 times smaller")
