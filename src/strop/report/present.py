"""The pictures and the page of one run folder, drawn from its JSON."""

from __future__ import annotations

from pathlib import Path

from ..errors import UserError
from ..runs import Run

GENERATOR = b'<meta name="generator" content="strop">'


def present(run: Run) -> None:
    """Write report.html into a finished run folder, and PNG files of what there is: curves, confusion, zeros, bits."""
    from .charts import confusion_matrix, train_details

    metrics, result = run.metrics(), run.result
    if metrics:
        train_details(metrics, run.folder / "train_details.png")
    if result.get("measured"):
        shown = result["measured"][0]
        title = f"{run.id}: {shown['n']} {shown['split']} pictures"
        confusion_matrix(shown["confusion"], shown["classes"], run.folder / "confusion_matrix.png", title)
        if run.record["verb"] == "evaluate" and "reliability" in shown:
            from .evaluation_charts import reliability_diagram, robustness

            reliability_diagram(shown, run.folder / "reliability.png")
            robustness(result.get("robustness") or {}, run.folder / "robustness.png")
    if any(line.get("sparsity") for line in metrics):
        from .sparsity_charts import sparsity

        sparsity(metrics, run.folder / "sparsity.png")
    quantization = result.get("quantization") or {}
    if quantization.get("sensitivity"):
        from .quantization_charts import sensitivity

        sensitivity(quantization["sensitivity"], quantization.get("kept") or {}, run.folder / "sensitivity.png")
    if (result.get("pruning") or {}).get("sensitivity"):
        from .pruning_charts import sensitivity as draw_groups

        draw_groups(result["pruning"]["sensitivity"], run.folder / "sensitivity.png")
    if run.record["verb"] != "evaluate":
        report([run.folder], run.folder / "report.html", title=run.id)


def report(folders: list[Path], path: Path, *, title: str, plots: Path | None = None) -> Path:
    """Write one report about several run folders; only a page that strop wrote before is replaced.

    Args:
        plots: a folder that gets a PNG of each plot of the page.
    """
    from .models import read_models
    from .page import write_page
    from .plots import write_plots
    from .rows import collect

    if path.exists() and GENERATOR not in path.read_bytes()[:2000]:
        raise UserError(f"--out {path}", "the file is there and strop did not write it. Choose another name.")
    rows, notes = collect(folders)
    write_page(rows, notes, path, title=title)
    if plots is not None:
        write_plots(read_models(rows), plots)
    return path
