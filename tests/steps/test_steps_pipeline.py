"""The whole way by command, on small pictures: what every folder, table and page says must hold together."""

import csv
import hashlib
import io
import json
import math
import subprocess
import sys

import numpy as np
import onnxruntime
import pyarrow.parquet as pq
import pytest
from PIL import Image

import strop as package
from strop.flags import read_step
from strop.recipe import Recipe
from strop.runs import Run
from strop.steps.temperature import temperature_to_use

pytestmark = pytest.mark.slow

MODELS = ("teacher", "student", "student-tuned", "student-pruned", "student-pruned-int8")
TRAINED = MODELS[:-1]
EXPORTS = ("student-export", "student-pruned-export", "student-pruned-int8-export")
STEPS = (*MODELS, *EXPORTS, "student-on-test", "student-export-on-test", "bench")
COMMANDS = (*STEPS, "predict", "compare", "report")

RECORD = {"strop", "id", "verb", "status", "key", "parents", "seed", "started", "seconds", "command"}
RECORD |= {"machine", "versions", "git"}


def modified(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*")}


@pytest.mark.parametrize("name", COMMANDS)
def test_pipeline_exit_code(pipeline, name):
    """Every command of the way ends with 0 and says nothing on stderr."""
    outcome = pipeline.outcomes[name]
    assert (outcome.code, outcome.err) == (0, "")


@pytest.mark.parametrize("name", COMMANDS)
def test_pipeline_lines_fit_80_columns(pipeline, name):
    """No line is wider than a terminal of 80 columns, but for those with the long path of a picture."""
    lines = pipeline.outcomes[name].out.splitlines()
    assert [line for line in lines if len(line) > 80 and str(pipeline.folder.parent) not in line] == []


@pytest.mark.parametrize("name", MODELS)
def test_pipeline_files_of_a_model(pipeline, name):
    """A model folder holds what docs/formats.md lists; what was trained also its log, and no draft or lock is left."""
    expected = {"run.json", "config.yaml", "data.json", "model.json", "result.json", "confusion_matrix.png"}
    expected |= {"report.html"}
    if name in TRAINED:
        expected |= {"model.safetensors", "metrics.jsonl", "results.csv", "train_details.png", "checkpoints"}
        expected |= {"weights.json"} | ({"pruning.json"} if name == "student-pruned" else set())
    else:
        expected |= {"model.onnx"}
    found = {path.name for path in pipeline.run(name).iterdir()}
    assert found - {".lock"} == expected


@pytest.mark.parametrize("name", EXPORTS)
def test_pipeline_files_of_an_export(pipeline, name):
    """An export adds the file to deploy, its class names, its evidence and how to use it."""
    found = {path.name for path in pipeline.run(name).iterdir()}
    assert found >= {"run.json", "result.json", "model.onnx", "classes.json", "evidence.json", "README.md"}
    assert found >= {"predict.py", "predict.mjs", "package.json"}


@pytest.mark.parametrize("name", STEPS)
def test_pipeline_run_json(pipeline, read, name):
    """run.json has the fields of docs/formats.md, says complete, and names a device rather than `auto`."""
    record = read(pipeline.run(name))
    assert record.keys() >= RECORD
    assert (record["id"], record["status"], record["seed"]) == (name, "complete", 0)
    assert record["seconds"] > 0
    assert record["machine"]["device"] in ("cpu", "cuda")
    assert {"python", "torch", "onnxruntime"} <= record["versions"].keys()


@pytest.mark.parametrize("name", STEPS)
def test_pipeline_parents(pipeline, name):
    """Each parent is found by its recorded path, and its recorded hash is that of its files now."""
    run = Run(pipeline.run(name))
    assert len(run.record["parents"]) == {"teacher": 0, "bench": 3}.get(name, 1)
    for parent in run.record["parents"].values():
        other = Run.open(run.folder / parent["path"])
        assert (other.id, other.model_hash()) == (parent["id"], parent["hash"])


def test_pipeline_hash_is_sha256_of_the_files(pipeline, read):
    """A model's hash recomposed: sha256 over model.safetensors, then model.json."""
    folder = pipeline.run("student")
    data = (folder / "model.safetensors").read_bytes() + (folder / "model.json").read_bytes()
    assert read(folder, "result.json")["model"]["hash"] == "sha256:" + hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize("name", [name for name in STEPS if name != "bench"])
def test_pipeline_scores_agree_with_their_confusion_matrix(pipeline, read, name):
    """Accuracy is trace / n and lies inside its interval; supports are the row sums; n is that of the split."""
    for scores in read(pipeline.run(name), "result.json")["measured"]:
        confusion = np.array(scores["confusion"])
        assert scores["n"] == confusion.sum() == {"train": 192, "val": 48, "test": 60}[scores["split"]]
        assert scores["accuracy"] == np.trace(confusion) / scores["n"]
        low, high = scores["accuracy_interval"]
        assert low <= scores["accuracy"] <= high
        assert [row["support"] for row in scores["per_class"]] == confusion.sum(1).tolist()


@pytest.mark.parametrize("name", STEPS)
def test_pipeline_measured_is_bound_to_the_file(pipeline, read, name):
    """The hash beside each score is that of the model that was measured."""
    result = read(pipeline.run(name), "result.json")
    best = [scores for scores in result.get("measured", []) if scores["checkpoint"] != "last"]
    assert all(scores["hash"] == result["model"]["hash"] for scores in best)
    last = [scores for scores in result.get("measured", []) if scores["checkpoint"] == "last"]
    for scores in last:
        folder = pipeline.run("student" if name == "student-on-test" else name)
        data = (folder / scores["file"]).read_bytes()
        assert scores["hash"] == "sha256:" + hashlib.sha256(data).hexdigest()


def test_pipeline_learns(pipeline, read):
    """Four easy classes: chance is 25 %, and three epochs are enough for 90 % on the test pictures."""
    scores = read(pipeline.run("student-on-test"), "result.json")["measured"][0]
    assert scores["accuracy"] >= 0.9


def test_pipeline_best_epoch(pipeline, read):
    """The saved weights are those of the epoch with the highest validation accuracy, then the lowest loss."""
    lines = Run(pipeline.run("teacher")).metrics()
    best = max(lines, key=lambda line: (line["val"]["accuracy"], -line["val"]["loss"]))
    result = read(pipeline.run("teacher"), "result.json")
    assert result["training"]["best_epoch"] == best["epoch"]
    assert result["measured"][0]["checkpoint"] == "best"
    assert result["measured"][0]["accuracy"] == best["val"]["accuracy"]


def test_pipeline_pruned_to_budget(pipeline, read):
    """A budget is an upper bound: at most half remains, and no more than 3 % of the budget is given away."""
    before = read(pipeline.run("student"), "result.json")["model"]["parameters"]
    result = read(pipeline.run("student-pruned"), "result.json")
    assert 0.97 * before / 2 <= result["model"]["parameters"] <= before / 2
    pruning = result["pruning"]
    assert (pruning["budget"], pruning["kind"], pruning["criterion"]) == ("50%", "params", "group-norm")
    assert (pruning["before"], pruning["after"]) == (before, result["model"]["parameters"])
    assert pruning["after"] <= pruning["limit"] == before // 2


def test_pipeline_pruned_count_is_that_of_the_tensors(pipeline, read):
    """Parameters counted from the file: all tensors but batch norm's running values."""
    from safetensors.numpy import load_file

    tensors = load_file(pipeline.run("student-pruned") / "model.safetensors")
    buffers = ("running_mean", "running_var", "num_batches_tracked")
    count = sum(tensor.size for name, tensor in tensors.items() if not name.endswith(buffers))
    assert read(pipeline.run("student-pruned"), "result.json")["model"]["parameters"] == count


def test_pipeline_words_of_training(pipeline, read):
    """`trained` tells the whole way of a model, in order."""
    words = {name: read(pipeline.run(name), "result.json")["model"]["trained"] for name in MODELS}
    assert words["teacher"] == ["L2"]
    assert words["student"] == ["L2", "distilled"]
    assert words["student-tuned"] == ["L2", "distilled", "fine-tuned"]
    assert words["student-pruned"] == ["L2", "distilled", "pruned"]
    assert words["student-pruned-int8"] == ["L2", "distilled", "pruned", "int8"]


def test_pipeline_int8_is_measured_on_its_file(pipeline, read):
    """The int8 row comes from ONNX Runtime on model.onnx, not from a model in torch."""
    result = read(pipeline.run("student-pruned-int8"), "result.json")
    [scores] = result["measured"]
    assert (scores["runtime"], scores["file"]) == ("onnxruntime", "model.onnx")
    assert result["model"]["file"] == "model.onnx"
    assert result["model"]["bytes"] == (pipeline.run("student-pruned-int8") / "model.onnx").stat().st_size


@pytest.mark.parametrize("name", EXPORTS)
def test_pipeline_export_accuracy_by_hand(pipeline, shapes, read, name):
    """A loop of numpy and ONNX Runtime over the test files counts exactly the confusion matrix of the evidence."""
    folder = pipeline.run(name)
    session = onnxruntime.InferenceSession(folder / "model.onnx")
    classes = read(folder, "classes.json")
    confusion = np.zeros((4, 4), int)
    for truth, label in enumerate(classes):
        for file in sorted((shapes / "test" / label).iterdir()):
            pixels = np.asarray(Image.open(file).convert("RGB"))[None]
            [[probabilities]] = session.run(None, {"images": pixels})
            assert math.isclose(probabilities.sum(), 1, abs_tol=1e-5)
            confusion[truth, probabilities.argmax()] += 1
    [scores] = read(folder, "result.json")["measured"]
    assert scores["confusion"] == confusion.tolist()
    assert read(folder, "evidence.json")["accuracy"]["accuracy"] == np.trace(confusion) / 60


@pytest.mark.parametrize("name", EXPORTS)
def test_pipeline_evidence(pipeline, read, name):
    """The evidence is bound to the exported bytes by their sha256 and size."""
    folder = pipeline.run(name)
    evidence, data = read(folder, "evidence.json"), (folder / "model.onnx").read_bytes()
    assert evidence["sha256"] == hashlib.sha256(data).hexdigest()
    assert evidence["bytes"] == len(data)
    assert evidence["latency"]["latency_ms"]["p50"] > 0
    assert f"`sha256:{evidence['sha256']}`" in (folder / "README.md").read_text()


@pytest.mark.parametrize("name", EXPORTS)
def test_pipeline_python_client(pipeline, shapes, read, name, tmp_path):
    """predict.py runs where only model and class names are, without torch, and finds the class of a picture."""
    for file in ("model.onnx", "classes.json", "predict.py"):
        (tmp_path / file).write_bytes((pipeline.run(name) / file).read_bytes())
    code = "import sys, runpy; sys.modules['torch'] = None; runpy.run_path('predict.py')"
    words = [sys.executable, "-c", code, str(shapes / "test" / "disc" / "000.png")]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[0] == "disc"


def test_pipeline_evaluate_run_and_export_agree(pipeline, read):
    """The float run in torch and its export in ONNX Runtime give one confusion matrix, and one calibrated loss."""
    of_run = read(pipeline.run("student-on-test"), "result.json")["measured"][0]
    of_file = read(pipeline.run("student-export-on-test"), "result.json")["measured"][0]
    assert (of_run["runtime"], of_file["runtime"]) == ("torch", "onnxruntime")
    assert of_run["confusion"] == of_file["confusion"]
    calibrated = of_run["calibrated"] if temperature_to_use(Run(pipeline.run("student"))) != 1 else of_run
    assert calibrated["loss"] == pytest.approx(of_file["loss"], abs=1e-3)


def test_pipeline_predictions_are_what_was_counted(pipeline, read):
    """The rows of predictions.parquet, counted, give the confusion matrix, the loss and the Brier score again."""
    folder = pipeline.run("student-export-on-test")
    scores = read(folder, "result.json")["measured"][0]
    rows, names = pq.read_table(folder / "predictions.parquet").to_pydict(), scores["classes"]
    true, predicted = ([names.index(name) for name in rows[column]] for column in ("true", "predicted"))
    confusion, p = np.zeros((4, 4), int), np.array(rows["probabilities"])
    np.add.at(confusion, (true, predicted), 1)
    assert confusion.tolist() == scores["confusion"]
    assert -np.log(p[range(60), true]).mean() == pytest.approx(scores["loss"], rel=1e-4)
    assert ((p - np.eye(4)[true]) ** 2).sum(1).mean() == pytest.approx(scores["brier"], rel=1e-4)
    assert all(name.split("/")[-2] == label for name, label in zip(rows["name"], rows["true"], strict=True))


def test_pipeline_lines_of_each_class(pipeline, read, strop_in, tmp_path):
    """`--lines` on a finished evaluation prints its counts, recomposed here; the run is not touched, nor its key."""
    run, words = pipeline.run("student-on-test"), pipeline.commands["student-on-test"]
    scores = read(run, "result.json")["measured"][0]
    confusion, before = np.array(scores["confusion"]), modified(run)
    outcome = strop_in(pipeline.folder, *words, "--lines")
    right, precisions, recalls = (
        confusion.diagonal(),
        confusion.diagonal() / confusion.sum(0),
        confusion.diagonal() / 15,
    )
    f1 = 2 * right / (confusion.sum(0) + 15)
    lines = [
        f"Class {name}: Precision: {p:f}, Recall: {r:f}, F1-Score: {f:f}"
        for name, p, r, f in zip(scores["classes"], precisions, recalls, f1, strict=True)
    ]
    lines.append(f"macro avg: Precision: {precisions.mean():f}, Recall: {recalls.mean():f}, F1-Score: {f1.mean():f}")
    assert outcome.out.splitlines()[1:6] == lines and "already done" in outcome.out
    assert "Class" not in strop_in(pipeline.folder, *words).out and modified(run) == before
    outcome = strop_in(pipeline.folder, *words, "--lines", "--json")
    assert json.loads(outcome.out)["id"] == "student-on-test" and lines[0] in outcome.err
    text = f"steps: [evaluate: {{id: student-on-test, parent: {pipeline.run('student')}, split: test, lines: true}}]"
    (tmp_path / "lines.yaml").write_text(text)
    assert lines[-1] in strop_in(pipeline.folder, "run", tmp_path / "lines.yaml", "--out", "runs").out


def test_pipeline_bench(pipeline, read):
    """All rows stand in one bench, in one runtime, bound to the files by hash; p95 is no less than p50."""
    rows = read(pipeline.run("bench"), "result.json")["bench"]
    assert [row["id"] for row in rows] == list(EXPORTS)
    for row in rows:
        assert row["hash"] == Run(pipeline.run(row["id"])).model_hash()
        assert (row["runtime"], row["threads"], row["latency_ms"]["n"]) == ("onnxruntime", 1, 20)
        assert 0 < row["latency_ms"]["p50"] <= row["latency_ms"]["p95"]


def test_pipeline_bench_describes_fresh_processes_and_the_machine(pipeline, read):
    """Cold start holds its parts; a process that loads a file takes less memory than torch would; threads are named."""
    result = read(pipeline.run("bench"), "result.json")
    for row in result["bench"]:
        start = row["cold_start"]
        assert start["ms"] > start["runtime_ms"] + start["load_ms"] + start["first_ms"] > 0
        assert 10e6 < row["peak_memory_bytes"] < 250e6
        assert row["ratio"]["to"] == result["bench"][0]["id"] and row["latency_ms"]["drift"] >= 1
    assert result["machine"]["threads"] == 1 and result["machine"]["versions"]["onnxruntime"]
    assert result["bench"][0]["ratio"]["latency_interval"] == [1, 1]
    floats = {row["id"]: row["float_ratio"] for row in result["bench"] if "float_ratio" in row}
    assert {name: found["to"] for name, found in floats.items()} == {
        "student-pruned-int8-export": "student-pruned-export"
    }


def test_pipeline_bench_in_two_runtimes(pipeline, strop_in, read):
    """torch stands beside ONNX Runtime for the float run, which an ONNX file can't; the profile names its layers."""
    words = ["--runtime", "onnxruntime,torch", "--rounds", 5, "--batch", 4, "--profile", 3, "--cold-starts", 0]
    outcome = strop_in(pipeline.folder, "bench", "runs/student", *words, "--out", "two-runtimes")
    assert outcome.code == 0, outcome.err
    rows = read(pipeline.folder / "two-runtimes", "result.json")["bench"]
    assert [row["runtime"] for row in rows] == ["onnxruntime", "torch"]
    assert {row["ratio"]["runtime"] for row in rows} == {"onnxruntime"} and "cold_start" not in rows[0]
    assert 1 <= len(rows[0]["profile"]) <= 3 and "profile" not in rows[1]
    assert "slowest nodes" in outcome.out and max(map(len, outcome.out.splitlines())) <= 80
    refused = strop_in(pipeline.folder, "bench", "runs/student-export", "--runtime", "torch")
    assert refused.code == 2 and "is an ONNX file" in refused.err


@pytest.mark.parametrize("name", STEPS)
def test_pipeline_same_command_is_skipped(pipeline, strop_in, name):
    """The same command again says that it is done, and touches no file."""
    before = modified(pipeline.folder)
    outcome = strop_in(pipeline.folder, *pipeline.commands[name])
    assert outcome.code == 0
    assert outcome.out.startswith(f"runs/{name}: already done, nothing changed\n")
    assert modified(pipeline.folder) == before


@pytest.mark.parametrize("name", STEPS)
def test_pipeline_config_repeats_the_run(pipeline, name, tmp_path, monkeypatch):
    """config.yaml, read from any working folder, is the same work: under the same root it is skipped as done."""
    monkeypatch.chdir(tmp_path)
    recipe = Recipe.load(pipeline.run(name) / "config.yaml")
    before = (pipeline.run(name) / "run.json").stat().st_mtime_ns
    [run] = recipe.run(out=pipeline.folder / "runs")
    assert run.folder == pipeline.run(name)
    assert (pipeline.run(name) / "run.json").stat().st_mtime_ns == before


@pytest.mark.parametrize("name", STEPS)
def test_pipeline_python_and_command_line_are_one(pipeline, name, monkeypatch, read):
    """`strop.Train(...)` made from the config's plain values has the key that the command wrote."""
    monkeypatch.chdir(pipeline.folder)
    [step] = Recipe.load(pipeline.run(name) / "config.yaml").steps
    kind = getattr(package, type(step).__name__)
    again = kind(**step.settings())
    assert again == step
    parents = again.open_parents()
    assert again.key(parents, again.open_data(parents)) == read(pipeline.run(name))["key"]


def test_pipeline_python_object_is_the_commands(shapes):
    """The step of flags equals the step of Python arguments, field by field."""
    flags = {"data": str(shapes), "validation": "20%", "model": "cnn3", "epochs": "3", "augment": "light"}
    data = {"source": str(shapes), "validation": "20%"}
    assert read_step("train", flags, []) == package.Train(data=data, model="cnn3", epochs=3, augment="light")


def test_pipeline_recipe_of_the_same_steps(pipeline, shapes, tmp_path, strop_in):
    """A recipe with the same steps under the same root finds every run done; ids link the steps as paths did."""
    text = f"""
data: {{source: {shapes}, validation: 20%}}
steps:
  - train:    {{id: teacher, model: cnn3, epochs: 3, batch_size: 32, lr: 0.01}}
  - train:    {{id: student, model: cnn3, epochs: 6, batch_size: 32, lr: 0.01,
                teacher: teacher, distill: {{kd: {{temperature: 4}}}}}}
  - prune:    {{id: student-pruned, parent: student, params: 50%, epochs: 2, batch_size: 32, lr: 0.01}}
  - quantize: {{id: student-pruned-int8, parent: student-pruned}}
"""
    (tmp_path / "way.yaml").write_text(text)
    outcome = strop_in(pipeline.folder, "run", tmp_path / "way.yaml", "--out", "runs")
    assert outcome.code == 0, outcome.err
    assert outcome.out.count("already done, nothing changed") == 4
    assert {path.name for path in (pipeline.folder / "runs").iterdir() if path.is_dir()} == set(STEPS)


def test_pipeline_changed_option_is_another_run(pipeline, strop_in, tmp_path, read):
    """Another image count makes NAME-2 beside NAME, which stays untouched."""
    parent = pipeline.run("student-pruned")
    first = strop_in(tmp_path, "quantize", parent, "--images", 16)
    before = modified(tmp_path / "runs" / "student-pruned-int8")
    second = strop_in(tmp_path, "quantize", parent, "--images", 32)
    assert (first.code, second.code) == (0, 0)
    assert modified(tmp_path / "runs" / "student-pruned-int8") == before
    assert read(tmp_path / "runs" / "student-pruned-int8-2")["id"] == "student-pruned-int8-2"


def test_pipeline_out_is_never_overwritten(pipeline, strop_in, shapes):
    """--out on a folder that holds something else is refused, and that something stays as it is."""
    for taken in (pipeline.run("teacher"), shapes):
        before = modified(taken)
        outcome = strop_in(pipeline.folder, "quantize", "runs/student", "--out", taken)
        assert outcome.code == 2 and "overwrites nothing" in outcome.err
        assert modified(taken) == before


def test_pipeline_compare_formats_agree(pipeline, strop_in):
    """Table, Markdown, CSV and JSON name the same models; JSON and CSV hold the accuracy of the evidence."""
    words = pipeline.commands["compare"][:-2]
    rows = json.loads(strop_in(pipeline.folder, *words, "--json").out)["rows"]
    lines = list(csv.DictReader(io.StringIO(strop_in(pipeline.folder, *words, "--format", "csv").out)))
    markdown = strop_in(pipeline.folder, *words, "--format", "markdown").out
    names = ["student", "student-pruned", "student-pruned-int8"]
    assert [row["id"] for row in rows] == names
    assert len(lines) == len(names)
    assert all(f"| {name} |" in markdown for name in names)
    assert "compared/report.html" in pipeline.outcomes["compare"].out
    for row, export in zip(rows, EXPORTS, strict=True):
        evidence = json.loads((pipeline.run(export) / "evidence.json").read_text())
        assert row["accuracy"] == evidence["accuracy"]["accuracy"]
        assert row["bytes"] == evidence["bytes"]


def test_pipeline_compare_writes_its_folder(pipeline, strop_in):
    """--out writes the table twice, the front and the page; a second time it is refused."""
    found = {path.name for path in (pipeline.folder / "compared").iterdir()}
    assert found == {"table.md", "table.csv", "table.tex", "fronts.png", "report.html"}
    outcome = strop_in(pipeline.folder, *pipeline.commands["compare"])
    assert outcome.code == 2 and "overwrites nothing" in outcome.err


def test_pipeline_compare_reads_json_only(pipeline, tmp_path):
    """compare works on the JSON alone, where torch can't be imported."""
    for name in ("student", "student-pruned", "bench", *EXPORTS):
        (tmp_path / name).mkdir()
        for file in ("run.json", "result.json"):
            (tmp_path / name / file).write_bytes((pipeline.run(name) / file).read_bytes())
    code = (
        "import sys; sys.modules['torch'] = None; from strop.cli import main; "
        "sys.exit(main(['compare', 'student', 'student-pruned']))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert "student-pruned" in done.stdout


def test_pipeline_suggested_commands_work(pipeline, strop_in):
    """The bench that compare suggests for rows without latency can be typed as it stands."""
    notes = json.loads(strop_in(pipeline.folder, "compare", "runs/student", "runs/teacher", "--json").out)["notes"]
    [note] = [note for note in notes if "strop bench" in note]
    words = note[note.index("strop bench") :].split()[1:]
    outcome = strop_in(pipeline.folder, *words, "--rounds", 5, "--out", "other-bench")
    assert outcome.code == 0, outcome.err


def test_pipeline_report_holds_every_row(pipeline):
    """The page names both runs and loads nothing from elsewhere."""
    page = (pipeline.folder / "report.html").read_text(encoding="utf-8")
    assert "student-pruned" in page
    assert not [word for word in ('src="http', "src='http", 'href="http', "@import") if word in page]


def test_pipeline_json_is_one_object(pipeline, strop_in):
    """--json gives one object on stdout and the log on stderr."""
    outcome = strop_in(pipeline.folder, *pipeline.commands["student"], "--json")
    found = json.loads(outcome.out)
    assert found["id"] == "student"
    assert found["result"] == Run(pipeline.run("student")).result
    assert "already done" in outcome.err
