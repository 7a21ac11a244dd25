"""What all steps have in common: from a config to a finished run folder."""

from __future__ import annotations

import logging
import shlex
import shutil
import sys
import tempfile
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field

from .. import launch, runs
from ..config import Command
from ..errors import GateFailed, Interrupted, RunFailed, UserError
from ..runs import Run
from ..writing import FULL, describe_failure

log = logging.getLogger("strop")
ROOT = Path("runs")
WAIT_SECONDS = 100.0  # that a process under torchrun waits for the others
MOVED = "where the pictures are now (default: where they were)"
NOT_IN_KEY = {
    *("id", "out", "cache_gb", "timeout"),
    *("save_minutes", "save_epochs", "keep"),
    *("tensorboard", "audit", "lines", "controls"),
}
DATA_NOT_IN_KEY = {"source", "max_unreadable", "exclude"}  # what these lead to is in the fingerprint


class Step(Command):
    """One step; subclasses name their verb, their fields, which fields refer to runs, and `run`."""

    verb: ClassVar[str]
    positional: ClassVar[tuple[str, ...]] = ()
    references: ClassVar[tuple[str, ...]] = ("parent",)
    uses_device: ClassVar[bool] = False
    many_devices: ClassVar[bool] = False

    id: str | None = Field(
        None,
        pattern=r"^[\w][\w.-]{0,79}$",
        description="name of the run: letters, digits, '_', '-' and '.' (default: made from the step)",
    )
    out: str | None = Field(None, description="folder to write (default: runs/ID)")
    seed: int = Field(0, ge=0, description="everything random is a function of it")
    device: str = Field("auto", pattern=r"^(auto|cpu|cuda(:\d+)?)$", description="auto, cpu or cuda")

    def default_id(self, parents: dict[str, Run]) -> str:
        """The id of a run that the user did not name."""
        return f"{parents['parent'].id}-{self.verb}"

    def open_parents(self) -> dict[str, Run]:
        """The finished models this step takes, by role. Raises UserError for one that is missing or unfinished."""
        named = {role: getattr(self, role) for role in self.references}
        found = {role: Run.open(folder) for role, folder in named.items() if folder is not None}
        for parent in found.values():
            _ = parent.model_file  # says which folder holds no model
        return found

    def open_data(self, parents: dict[str, Run]) -> Any:
        """The data set, opened and checked without torch; by default that of the parent, unchanged."""
        from .data import reopen

        return reopen(parents["parent"], moved_to=getattr(self, "data", None))

    def check(self, parents: dict[str, Run], data: Any) -> None:
        """Refuse, before anything is written, what can be known to fail."""

    def run(self, run: Run, parents: dict[str, Run], data: Any) -> dict:
        """Do the work in the folder; returns what goes into result.json."""
        raise TypeError(f"{type(self).__name__} does not say how it runs")

    def settings(self) -> dict:
        """The config as plain JSON values."""
        return self.model_dump(mode="json")

    def key(self, parents: dict[str, Run], data: Any) -> str:
        """Equal keys mean equal work: config, parents and data. What the data are counts, not how they are written."""
        settings = {
            name: value
            for name, value in self.settings().items()
            if name not in NOT_IN_KEY and name not in self.references
        }
        about_data = settings.pop("data", None)
        if isinstance(about_data, dict):
            settings["data"] = {name: value for name, value in about_data.items() if name not in DATA_NOT_IN_KEY}
        hashes = {role: parent.model_hash() for role, parent in parents.items()}
        return runs.digest(self.verb, settings, hashes, data.fingerprint if data is not None else None)

    def execute(self, *, root: Path | str = ROOT, command: str | None = None, charts: bool = True) -> Run:
        """Run the step, resume it, or return what it made before; `charts` are drawn from its JSON afterwards.

        Example:
            >>> import strop
            >>> run = strop.Train(data="fashion-mini", model="resnet18", epochs=1).execute()
            >>> run.result["measured"][0]["accuracy"]
            0.73
        """
        if self.device.startswith("cuda") and not self.uses_device:
            raise UserError(f"--device {self.device}", f"{self.verb} runs on the CPU. Leave the option out.")
        runs.check_writable("out", Path(self.out) if self.out else Path(root))
        ranks = self._meet()
        parents = self.open_parents()
        data = launch.first_then_others(lambda: self.open_data(parents))
        self.check(parents, data)
        folder, state = ranks.from_first(lambda: self._place(Path(root), parents, data))
        folder = Path(folder)
        if state == "complete":
            log.info("%s: already done, nothing changed", folder)
            return Run(folder)
        if ranks.rank:
            self._follow(ranks, parents, data)
            return Run(folder)
        if state == "unfinished":
            log.info("%s: going on where it stopped", folder)
            run = Run(folder)
            self._write_config(run, data)  # the process may have died before it did
        else:
            missing = [above for above in folder.parents if not above.exists()]
            run = runs.create(
                folder,
                id=folder.name,
                verb=self.verb,
                key=self.key(parents, data),
                parents=parents,
                seed=self.seed,
                command=command or _command(),
                device="cpu",  # a step that trains writes down what it chose
            )
            self._write_config(run, data)
        with runs.locked(folder), _stopwatch() as seconds:
            run.drop_drafts()
            ranks.from_first(lambda: run.record)
            try:
                result = self.run(run, parents, data)
            except Interrupted:
                run.add_seconds(seconds())
                raise
            except OSError as error:
                if error.errno not in FULL:
                    raise
                raise RunFailed(f"{describe_failure(error, folder)} The same command goes on.") from error
            except (UserError, GateFailed):
                # Nothing of use came of it; left here, it would take the name from the corrected command.
                if state == "new" and not _holds_work(folder):
                    shutil.rmtree(folder)
                    with suppress(OSError):  # another run may have come in meanwhile
                        for above in missing:
                            above.rmdir()
                raise
            run.finish(result, seconds())
            ranks.from_first(lambda: "finished")
        if charts:
            self.present(run)
        return run

    def _place(self, root: Path, parents: dict[str, Run], data: Any) -> tuple[str, str]:
        """The folder to work in, and what is in it; see `runs.place`."""
        folder = Path(self.out) if self.out else root / (self.id or self.default_id(parents))
        folder, state = runs.place(folder, self.key(parents, data), exact=bool(self.out))
        return str(folder), state

    def _meet(self) -> Any:
        """The processes that torchrun started, or this one alone."""
        if launch.processes() == 1:
            return launch.ALONE
        from ..train.distributed import join

        return join(device=self.device, timeout=getattr(self, "timeout", WAIT_SECONDS))

    def _follow(self, ranks: Any, parents: dict[str, Run], data: Any) -> None:
        """What the processes beside the first do: the same work, in a folder of their own that is thrown away."""
        record = ranks.from_first(dict)
        if self.many_devices:
            with tempfile.TemporaryDirectory() as own:
                runs.write_json(Path(own) / "run.json", record)
                self.run(Run(Path(own)), parents, data)
        ranks.from_first(str)

    def present(self, run: Run) -> None:
        """Draw what people look at, from the JSON that was just written."""
        from ..report.present import present

        present(run)

    def _write_config(self, run: Run, data: Any) -> None:
        from ..yaml import write_recipe

        settings = {"id": run.id} | {
            name: value for name, value in self.settings().items() if name not in NOT_IN_KEY and value is not None
        }
        for role in self.references:
            if role in settings:
                settings[role] = _absolute(settings[role])
        if data is not None:
            runs.write_json(run.folder / "data.json", data.describe())
            where = data.source.location or data.source.name  # also from another working folder
            if isinstance(settings.get("data"), dict):
                settings["data"] = dict(settings["data"], source=where)
            elif "data" in settings:
                settings["data"] = where
        write_recipe(run.folder / "config.yaml", [{self.verb: settings}])


@contextmanager
def _stopwatch():
    """Yield a function that gives the seconds since the block began."""
    start = time.perf_counter()
    yield lambda: time.perf_counter() - start


def _holds_work(folder: Path) -> bool:
    """Whether something was trained there that a resumed run goes on from."""
    return any((folder / "checkpoints").rglob("*.safetensors")) or (folder / "folds").is_dir()


def _absolute(reference):
    if isinstance(reference, list):
        return [_absolute(item) for item in reference]
    return str(Path(reference).resolve()) if Path(reference).exists() else reference  # a teacher may be a network


def _command() -> str:
    name = Path(sys.argv[0]).name
    return shlex.join(["strop" if name == "__main__.py" else name, *sys.argv[1:]])


def require_model(run: Run, what: str) -> None:
    """Refuse a run that holds no float model."""
    if run.model_file.name != "model.safetensors" or run.record["verb"] not in ("train", "prune"):
        raise UserError(
            str(run.folder),
            f"{what} needs a float model, and {run.record['verb']} made this one. "
            "Give the train or prune run that it came from.",
        )
