"""What an audit writes: the verdict, audit.json, audit.html, the exclusion list, and the step around them."""

import json
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from strop.audit import audit, write_audit, write_exclusions
from strop.audit.findings import Findings, Item, make_finding
from strop.audit.kinds import KINDS
from strop.data import read_exclusions
from strop.errors import UserError
from strop.steps.audit import Audit


@pytest.fixture
def faulty(paint):
    """One of each of the faults that an exclusion list is about."""
    paint.classes("train")
    paint.classes("test", first=100)
    train, test = paint.root / "train", paint.root / "test"
    shutil.copy(train / "cat/00.png", train / "cat/copy.png")
    shutil.copy(train / "cat/01.png", test / "cat/leak.png")
    shutil.copy(train / "cat/02.png", train / "dog/other.png")
    Image.open(train / "cat/03.png").save(test / "cat/near.jpg", quality=80)
    (train / "dog/<b>&.png").write_bytes(b"")
    return paint.root


def test_every_kind_has_a_sentence_for_one_and_many():
    """No placeholder may stay open, and one of something is never called many."""
    words = {
        "earlier": "train", "later": "test", "least": 10, "ratio": 12, "total": 9, "smallest": "1 x 1",
        "largest": "2 x 2", "median": "1 x 1", "far": 30, "right": 80,
    }  # fmt: skip
    for kind in KINDS:
        for n in (1, 2):
            finding = make_finding(kind, [], count=n, **words)
            assert "{" not in finding.sentence and finding.sentence.endswith(".") and finding.title


def test_the_verdict_fits_a_terminal_and_names_an_example(faulty):
    """80 columns, errors first, a file to look at for each finding."""
    verdict = audit(faulty).verdict()
    lines = verdict.split("\n")
    assert max(map(len, lines)) <= 80 and lines[-1].startswith("3 errors, ")
    assert verdict.index("error ") < verdict.index("warning ")
    assert "train/cat/01.png = test/cat/leak.png" in verdict


def test_a_name_can_not_steer_the_terminal():
    """Escape codes and line breaks in a file name are shown as replacement characters."""
    finding = make_finding("empty-file", [Item(("a\x1b[31m\n.png",))])
    verdict = Findings("set\x1b[0m", None, True, {}, 1, (finding,), 0.0).verdict()
    assert "\x1b" not in verdict and "a\ufffd[31m\ufffd.png" in verdict


def test_json_holds_every_file_and_nothing_else_is_needed(faulty, tmp_path):
    """audit.json names each finding's files in full, and says what was counted."""
    findings = audit(faulty)
    files = write_audit(findings, tmp_path / "out")
    assert [path.name for path in files] == ["audit.json", "audit.html"]
    written = json.loads(files[0].read_text())
    assert written["errors"] is True and written["counts"]["train"] == {"cat": 13, "dog": 13}
    assert {(f["kind"], f["count"]) for f in written["findings"]} == {(f.kind, f.count) for f in findings.found}
    [leak] = [f for f in written["findings"] if f["kind"] == "leak"]
    assert leak["items"] == [{"files": ["train/cat/01.png", "test/cat/leak.png"]}]


def test_nothing_is_overwritten_and_the_data_stay_alone(faulty, tmp_path):
    """A second audit into the same folder is refused, and so is any place inside the audited folder."""
    findings = audit(faulty, quick=True)
    write_audit(findings, tmp_path / "out")
    for folder, reason in ((tmp_path / "out", "overwrites nothing"), (faulty / "report", "inside the audited")):
        with pytest.raises(UserError, match=reason):
            write_audit(findings, folder)
    assert not (faulty / "report").exists()


class Page(HTMLParser):
    """Collects tags, attributes and text."""

    def __init__(self, text: str):
        super().__init__()
        self.tags, self.links, self.text = set(), [], ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.links += [value for name, value in attrs if name in ("src", "href")]

    def handle_data(self, data):
        self.text += data


def test_the_page_is_one_file_with_its_pictures_and_no_script(faulty, tmp_path):
    """Only data URIs and anchors, a policy that forbids everything else, names escaped, pictures side by side."""
    html = write_audit(audit(faulty), tmp_path / "out")[1].read_text()
    page = Page(html)
    assert "script" not in page.tags and "b" not in page.tags and "default-src 'none'" in html
    assert all(link.startswith(("data:image/", "#f")) for link in page.links)
    assert "train/dog/<b>&.png" in page.text and "<b>&" not in html
    assert len(re.findall(r'<img[^>]*src="data:image/(?:png|jpeg);base64,', html)) >= 8
    assert str(faulty) not in html


def test_the_page_stays_small_whatever_is_found():
    """100,000 items are counted on the page and listed in the JSON only."""
    items = [Item((f"{i}.png",), "0 bytes") for i in range(100_000)]
    from strop.audit.page import render_page

    html = render_page(Findings("x", None, True, {"train": {}}, 0, (make_finding("empty-file", items),), 0.0))
    assert len(html) < 20_000 and "more in audit.json" in html


def test_the_exclusion_list_keeps_the_test_set_and_deletes_nothing(faulty, tmp_path):
    """Of a leak the train copy goes, of duplicates all but the first, of two labels both; near leaks count as leaks."""
    before = sorted(faulty.rglob("*"))
    count = write_exclusions(audit(faulty), tmp_path / "exclude.txt")
    chosen = read_exclusions(tmp_path / "exclude.txt")
    assert set(chosen) == {
        "train/dog/<b>&.png",
        "train/cat/copy.png",
        "train/cat/01.png",
        "train/cat/02.png",
        "train/dog/other.png",
        "train/cat/03.png",
    }
    assert count == 6 and chosen["train/cat/01.png"] == "copy of test/cat/leak.png in test"
    assert sorted(faulty.rglob("*")) == before
    with pytest.raises(UserError, match="overwrites nothing"):
        write_exclusions(audit(faulty), tmp_path / "exclude.txt")


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), unique=True))
def test_any_name_comes_back_from_the_exclusion_list(tmp_path_factory, names):
    """Tabs, line breaks, quotes, a leading # or blank: what was written is what is read."""
    path = tmp_path_factory.mktemp("list") / "x.txt"
    finding = make_finding("corrupt", [Item((name,), "broken\nindeed\t") for name in names])
    write_exclusions(Findings("x", None, False, {}, 1, (finding,), 0.0), path)
    assert list(read_exclusions(path)) == names


def test_the_step_writes_beside_the_runs_and_takes_the_next_free_name(faulty, tmp_path):
    """runs/NAME-audit, then NAME-audit-2; the exclusion list where it was asked for."""
    first = Audit(data=str(faulty), fix=str(tmp_path / "x.txt")).execute(root=tmp_path / "runs")
    second = Audit(data=str(faulty), quick=True).execute(root=tmp_path / "runs")
    assert [path.parent.name for path in (first.files[0], second.files[0])] == ["set-audit", "set-audit-2"]
    assert first.findings.has_errors and first.files[-1] == tmp_path / "x.txt" and (tmp_path / "x.txt").is_file()


def test_an_audit_needs_no_torch():
    """Pixels, label search, page and all: torch costs seconds at every start and is not asked for."""
    code = (
        "import sys; from strop.audit import audit; from strop.audit.page import render_page; "
        "render_page(audit('fashion-mini', labels=True, threads=1)); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=300)


@pytest.mark.parametrize("option", ["fix", "out"])
def test_the_step_refuses_a_taken_place_before_the_work(faulty, tmp_path, option):
    """A taken file, or a place inside the audited folder, costs no minutes of hashing."""
    taken = tmp_path / "taken"
    taken.mkdir()
    (taken / "x.txt").write_text("mine")
    place = taken / "x.txt" if option == "fix" else taken
    for where in (place, faulty / "new.txt"):
        with pytest.raises(UserError):
            Audit(data=str(faulty), **{option: str(where)}).execute(root=tmp_path / "runs")
    assert (taken / "x.txt").read_text() == "mine" and not (tmp_path / "runs").exists()
