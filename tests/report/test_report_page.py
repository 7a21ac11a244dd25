import base64
import hashlib
import html
import json
import re
import runpy
import shutil
import subprocess
from pathlib import Path

import pytest
from PIL import Image

from strop.report.page import HERE, write_page
from strop.report.rows import collect
from strop.report.sections import class_lines

HOSTILE = ["</script><img src=x onerror=alert(1)>", "{{data}}", "<!--", '" onmouseover="alert(1)', "a&b"]
CHROMIUM = shutil.which("chromium")
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")


def write(rows, path, notes=(), title="Report") -> str:
    write_page(rows, notes, path, title=title)
    return path.read_text(encoding="utf-8")


def data_of(page: str) -> dict:
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.S)[1])


def hostile(folders):
    """A run whose id and class names try to break out of the page."""
    path = folders.model("net", classes=HOSTILE)
    record = json.loads((path / "run.json").read_text())
    (path / "run.json").write_text(json.dumps(record | {"id": HOSTILE[0], "command": HOSTILE[0]}))
    return path


def test_numbers_in_the_page_are_those_of_the_files(family, tmp_path):
    """The embedded JSON gives back measurement, latency and curves exactly as they were written."""
    folders, paths = family
    rows, notes = collect(paths)
    data = data_of(write(rows, tmp_path / "page.html", notes))
    assert data["rows"][2]["measured"] == folders.result("small-onnx")["measured"][0]
    assert data["rows"][2]["latency"]["latency_ms"] == folders.result("bench")["bench"][2]["latency_ms"]
    assert data["rows"][2]["metrics"] == [
        json.loads(line) for line in (paths[2] / "metrics.jsonl").read_text().splitlines()
    ]


def test_fronts_point_at_their_rows(family, tmp_path):
    """By size the teacher is beaten by its student; by latency the pruned int8 is beaten too (0.67 ms, less right)."""
    _, paths = family
    data = data_of(write(collect(paths).rows, tmp_path / "page.html"))
    names = [[data["rows"][spec["points"][i]["row"]]["id"] for i in spec["front"]] for spec in data["fronts"]]
    assert names == [["small-int8", "small", "student-int8", "student"], ["small", "student-int8", "student"]]


def test_page_allows_its_own_scripts_and_nothing_else(family, tmp_path):
    """Every script and style has its hash in the policy; nothing is fetched and nothing may be."""
    _, paths = family
    page = write(collect(paths).rows, tmp_path / "page.html")
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)[1]
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy and "http" not in policy
    scripts = re.findall(r"<script>(.*?)</script>", page, re.S)
    styles = re.findall(r"<style>(.*?)</style>", page, re.S)
    assert (len(scripts), len(styles)) == (2, 1)
    for text in scripts + styles:
        assert base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() in policy
    markup = re.sub(r"<script.*?</script>", "", page, flags=re.S)
    assert not re.search(r"""\b(src|href|style|on\w+)=|url\(|@import|https?:""", markup)
    assert "sourceMappingURL" not in page


def test_names_can_not_leave_their_place(folders, tmp_path):
    """Ids, classes and commands are untrusted: they arrive as text, and the JSON gives them back."""
    rows, notes = collect([hostile(folders)])
    page = write(rows, tmp_path / "page.html", notes, title=HOSTILE[0])
    markup = re.sub(r"<script.*?</script>", "", page, flags=re.S)
    assert "<img" not in markup and "<!--" not in page.replace("<!doctype", "") and 'onmouseover="' not in markup
    assert len(re.findall("</script>", page)) == 3
    assert data_of(page)["rows"][0]["measured"]["classes"] == HOSTILE
    assert "{{data}}" in markup


def test_class_lines_have_six_decimals_and_a_macro_average():
    """The format that scripts parse, with values that can be checked by hand: 2/3 and 1/8."""
    measured = {
        "per_class": [{"name": "cat", "precision": 2 / 3, "recall": 1.0, "f1": 0.8}],
        "macro_precision": 2 / 3,
        "macro_recall": 0.125,
        "macro_f1": 0.8,
    }
    assert class_lines(measured) == (
        "Class cat: Precision: 0.666667, Recall: 1.000000, F1-Score: 0.800000\n"
        "macro avg: Precision: 0.666667, Recall: 0.125000, F1-Score: 0.800000"
    )


def test_verdict_comes_before_the_table_and_findings_are_said_once(family, tmp_path):
    """What to ship first, what did not hold next, then figures."""
    _, paths = family
    rows, notes = collect(paths)
    page = write(rows, tmp_path / "page.html", notes)
    assert page.index("Ship small-int8: it is the smallest model within 2 points") < page.index("<table")
    assert page.count("Teacher teacher does not beat its student student") == 1
    assert page.index("What did not hold") < page.index("<table")


def test_page_of_one_run_has_no_front(folders, tmp_path):
    """A single point is no comparison; a run without metrics or measurements still has its page."""
    page = write(collect([folders.model("net", measured=[], epochs=0)]).rows, tmp_path / "page.html")
    assert data_of(page)["fronts"] == [] and "<canvas" not in page
    assert "Nothing was measured on test or val yet" in page


def test_hundred_classes_list_the_largest_confusions(folders, tmp_path):
    """100 x 100 cells would be unreadable: the 20 largest confusions are listed, and all counts are in the JSON."""
    names = [f"class {number}" for number in range(100)]
    page = write(collect([folders.model("net", classes=names, accuracy=0.8)]).rows, tmp_path / "page.html")
    assert len(re.findall(r"<li>class \d+ taken for class \d+: ", page)) == 20 and '<table class="matrix">' not in page
    assert len(data_of(page)["rows"][0]["measured"]["confusion"]) == 100


def browse(address: str, tmp_path, *flags: str) -> str:
    """Open a page in headless Chromium, cut off from every host."""
    profile = tmp_path / f"profile-{len(list(tmp_path.iterdir()))}"
    done = subprocess.run(
        [
            CHROMIUM,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--hide-scrollbars",
            "--host-resolver-rules=MAP * ~NOTFOUND",
            f"--user-data-dir={profile}",
            "--virtual-time-budget=4000",
            "--enable-logging=stderr",
            *flags,
            address,
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert ":CONSOLE" not in done.stderr, done.stderr
    return done.stdout


@needs_chromium
def test_browser_draws_every_chart_offline(family, tmp_path):
    """Two fronts and three curves for each of three trained rows; no error, no blocked resource, a quiet console."""
    _, paths = family
    write(collect(paths).rows, tmp_path / "page.html")
    page = browse((tmp_path / "page.html").as_uri() + "#all", tmp_path, "--dump-dom")
    body = re.search(r"<body[^>]*>", page)[0]
    assert 'data-drawn="yes"' in body and 'data-charts="11"' in body and "data-failed" not in body


@needs_chromium
def test_browser_draws_large_matrices_and_reliability(folders, tmp_path):
    """41 classes are too many for a table: a drawn matrix, a reliability diagram, three curves, on paper too."""
    bins = [{"from": 0.0, "to": 1.0, "n": 5, "confidence": 0.7, "accuracy": 0.6}]
    names = [f"类别 {number}" for number in range(41)]
    entry = folders.measure(0.8, file="model.safetensors", file_hash="sha256:0", classes=names)
    path = folders.model("net", measured=[entry | {"ece": 0.1, "reliability": bins}])
    page = write(collect([path]).rows, tmp_path / "page.html")
    printed = page.replace("</body>", "<script>dispatchEvent(new Event('beforeprint'))</script></body>")
    (tmp_path / "page.html").write_text(re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", printed))
    body = re.search(r"<body[^>]*>", browse((tmp_path / "page.html").as_uri(), tmp_path, "--dump-dom"))[0]
    assert 'data-drawn="yes"' in body and 'data-charts="5"' in body and "data-failed" not in body


@needs_chromium
def test_values_are_reached_with_the_keyboard(folders, tmp_path):
    """Each chart takes the focus; arrow keys say where they stand: curves by epoch, counts that are not nought."""
    names = [f"类别 {number}" for number in range(41)]
    bins = [{"from": 0.0, "to": 1.0, "n": 5, "confidence": 0.75, "accuracy": 0.6}]
    measured = [
        folders.measure(0.8, file="model.safetensors", file_hash="sha256:0", classes=names) | {"reliability": bins}
    ]
    paths = [folders.model("net", measured=measured, epochs=3), folders.model("other", classes=names, parameters=1000)]
    page = write(collect(paths, split="test").rows, tmp_path / "page.html")
    keys = """
      const open = (one) => !one.closest("details:not([open])");
      const said = [...document.querySelectorAll("canvas")].filter(open).map((one) => {
        one.focus();
        return ["ArrowRight", "ArrowRight", "ArrowLeft", "End", "ArrowUp"].map((key) => {
          one.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true }));
          return document.querySelector(".heard").textContent;
        });
      });
      document.body.dataset.said = JSON.stringify([said, document.activeElement.tabIndex]);"""
    open_policy = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", page)
    (tmp_path / "page.html").write_text(open_policy.replace("</body>", f"<script>{keys}</script></body>"))
    dumped = browse((tmp_path / "page.html").as_uri() + "#all", tmp_path, "--dump-dom")
    said, focused = json.loads(html.unescape(re.search(r'data-said="(.*?)"', dumped)[1]))
    front, loss, matrix, reliability = said[0], said[1], said[4], said[5]
    assert focused == 0 and front[0].startswith("other, 87.0") and front[1].startswith("net, 80.0")
    assert [text.partition(",")[0] for text in loss] == ["epoch 1", "epoch 2", "epoch 1", "epoch 3", "epoch 3"]
    assert re.fullmatch(r"epoch 1, training: [\d.]+, validation: [\d.]+", loss[0])
    counts = collect(paths, split="test").rows[0].measured["confusion"]
    wrong = next(j for j, n in enumerate(counts[0]) if j and n)
    assert matrix[0] == f"{names[0]} taken for {names[0]}: {counts[0][0]} of 50"
    assert matrix[1] == f"{names[0]} taken for {names[wrong]}: {counts[0][wrong]} of 50"
    assert reliability[0] == "as it is: 60.0 % right at 75.0 %, 5 pictures"


@needs_chromium
def test_hundreds_of_charts_wait_until_they_are_near(folders, tmp_path):
    """Of 25 models with three curves each, all opened, the first 60 are drawn; on paper all 75, and the front."""
    paths = [folders.model(f"net-{number}", epochs=2, parameters=1000 + number) for number in range(25)]
    page = write(collect(paths).rows, tmp_path / "page.html")

    def drawn(name, text):
        (tmp_path / name).write_text(text, encoding="utf-8")
        body = re.search(r"<body[^>]*>", browse((tmp_path / name).as_uri() + "#all", tmp_path, "--dump-dom"))[0]
        assert "data-failed" not in body
        return int(re.search(r'data-charts="(\d+)"', body)[1])

    print_it = "<script>dispatchEvent(new Event('beforeprint'))</script></body>"
    open_policy = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", page)
    assert 60 <= drawn("page.html", page) < 76
    assert drawn("paper.html", open_policy.replace("</body>", print_it)) == 76


@needs_chromium
def test_browser_prints_every_model(family, tmp_path):
    """The PDF of five models has more than the pages of one, and the console stays quiet."""
    _, paths = family
    write(collect(paths).rows, tmp_path / "page.html")
    browse((tmp_path / "page.html").as_uri(), tmp_path, f"--print-to-pdf={tmp_path / 'page.pdf'}")
    pages = re.findall(rb"/Type ?/Page\b", (tmp_path / "page.pdf").read_bytes())
    assert len(pages) >= 4


@needs_chromium
def test_browser_runs_nothing_that_a_name_brings(folders, tmp_path):
    """Hostile names make no element, no error and no policy violation."""
    write(collect([hostile(folders)]).rows, tmp_path / "page.html")
    page = browse((tmp_path / "page.html").as_uri(), tmp_path, "--dump-dom")
    assert 'data-drawn="yes"' in page and "data-failed" not in re.search(r"<body[^>]*>", page)[0]


@needs_chromium
@pytest.mark.parametrize("width", [390, 1280])
def test_page_fits_its_window(family, tmp_path, width):
    """Only the boxes scroll sideways, never the page; both sizes give a picture with something on it."""
    _, paths = family
    page = write(collect(paths).rows, tmp_path / "page.html")
    probe = (
        "<script>addEventListener('load', () => parent.postMessage("
        "document.documentElement.scrollWidth + ' of ' + innerWidth, '*'));</script></body>"
    )
    open_policy = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", page)
    (tmp_path / "probe.html").write_text(open_policy.replace("</body>", probe), encoding="utf-8")
    # A headless window is never narrower than 500 pixels when asked for its DOM; a frame is.
    (tmp_path / "frame.html").write_text(
        "<body><script>addEventListener('message', (event) => { document.body.dataset.width = event.data; });</script>"
        f"<iframe width={width} height=900 frameborder=0 src=probe.html></iframe></body>",
        encoding="utf-8",
    )
    found = browse((tmp_path / "frame.html").as_uri(), tmp_path, "--window-size=1400,1000", "--dump-dom")
    scroll, inner = re.search(r'data-width="(\d+) of (\d+)"', found).groups()
    assert int(scroll) <= int(inner) == width
    shot = tmp_path / "shot.png"
    browse((tmp_path / "page.html").as_uri(), tmp_path, f"--window-size={width},1600", f"--screenshot={shot}")
    with Image.open(shot) as picture:
        assert picture.width == width and len(picture.convert("RGB").getcolors(1 << 20)) > 50


def test_vendored_library_is_the_one_the_tool_fetches():
    """The hashes in tools/vendor_chartjs.py are those of the files beside the page."""
    tool = runpy.run_path(str(Path(__file__).parents[2] / "tools" / "vendor_chartjs.py"))
    for target, expected in tool["FILES"].values():
        assert hashlib.sha256((HERE / "vendor" / target).read_bytes()).hexdigest() == expected
