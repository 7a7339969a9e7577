"""`batch`: all studies below a folder, with a ledger that survives whatever happens to the machine."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from scanweave import RESEARCH_NOTICE
from scanweave.errors import Code, EnvironmentFailure, InputRefused, Problem, UsageError
from scanweave.networks.onnx_network import thread_count
from scanweave.pipeline.batch.bids import describe_derivative, is_bids
from scanweave.pipeline.batch.entry import State
from scanweave.pipeline.batch.executor import Executor
from scanweave.pipeline.batch.index import index
from scanweave.pipeline.batch.index_page import INDEX_PAGE, write_index_page
from scanweave.pipeline.batch.ledger import Ledger
from scanweave.pipeline.batch.ledger_file import LEDGER_FILE
from scanweave.pipeline.batch.local import LocalExecutor, memory_each, usual_workers
from scanweave.pipeline.batch.owner import LOCK_FILE, locked, owned, renewing
from scanweave.pipeline.batch.run import BatchRun, Told
from scanweave.pipeline.batch.settings import LOCAL, BatchSettings
from scanweave.pipeline.batch.summary import SUMMARY_FILE, write_summary
from scanweave.pipeline.batch.temporary import private_folder
from scanweave.pipeline.bundle import find_bundle
from scanweave.pipeline.device import CPU
from scanweave.pipeline.network_settings import StrPath, expanded
from scanweave.pipeline.progress import Progress, silent
from scanweave.pipeline.result_folder import remove_unfinished
from scanweave.pipeline.segment_settings import overrides_of
from scanweave.transforms.io.files import check_reachable, reachable

_SETTINGS, _SOURCE = "settings", "root"


@dataclass(frozen=True)
class Batch:
    """What a batch came to.

    Attributes
    ----------
    folder
        OUT, with `ledger.sqlite`, `summary.csv`, `index.html`, and a folder for each study that is done.
    counts
        Studies by state; of what was found now and before.
    figures
        What the executor tells of itself.
    """

    folder: Path
    counts: Mapping[State, int]
    figures: Mapping[str, float]

    @property
    def complete(self) -> bool:
        """Whether every study is done."""
        return sum(self.counts.values()) == self.counts[State.DONE]

    @property
    def lines(self) -> list[str]:
        """The same for people."""
        counts = ", ".join(f"{count} {state}" for state, count in self.counts.items() if count)
        lines = [f"{sum(self.counts.values())} studies: {counts}", f"results: {self.folder / INDEX_PAGE}"]
        if not self.complete:
            lines.append(f"why: scanweave ledger {shlex.quote(str(self.folder))} --failed")
        return [*lines, f"{RESEARCH_NOTICE}."]

    @property
    def record(self) -> dict[str, Any]:
        """The JSON document of `scanweave batch --json`."""
        counts = {str(state): count for state, count in self.counts.items()}
        return {
            "studies": sum(self.counts.values()),
            **counts,
            **self.figures,
            "summary": str(self.folder / SUMMARY_FILE),
            "notice": RESEARCH_NOTICE,
        }


def nobody(counts: Mapping[State, int]) -> None:
    """The `Told` that nobody hears."""


def batch(
    root: StrPath,
    out: StrPath,
    *,
    settings: BatchSettings | None = None,
    progress: Progress = silent,
    told: Told = nobody,
) -> Batch:
    """Segment every study below `root`, once. Research use only, not a medical device.

    Called again with the same `out` it goes on where it was stopped, however that happened; new and changed studies
    are found. A program that calls it needs `if __name__ == "__main__":`, for processes are started that import it.

    Parameters
    ----------
    root
        A folder with studies in any mix (folders, archives, one folder with the files of many, NIfTI, slices), a BIDS
        data set, or a worklist (.csv).
    out
        Gets results and the ledger.
    settings
        How, and by whom.
    progress
        Called with a `Stage` while files are looked at.
    told
        Called with the number of studies in each state as that changes.

    Raises
    ------
    UsageError, InputRefused, EnvironmentFailure
        Where nothing can be done at all: refusals of single studies are part of the result.
    """
    settings = settings or BatchSettings()
    source, target = Path(expanded(root)).absolute(), Path(expanded(out)).absolute()
    check_reachable(source)
    bundle = find_bundle(expanded(settings.segment.bundle))
    # A mistyped word or a missing GPU is told before anything is written; a cluster's GPUs are not this machine's.
    overrides_of(replace(settings.segment, device=CPU) if settings.scheduler else settings.segment)
    new = not reachable(target / LEDGER_FILE)
    with _nothing_left_if(new, target), locked(target), _owned_ledger(target) as ledger, ExitStack() as computing:
        _check_same(ledger, settings, source)
        temporary = computing.enter_context(private_folder())
        # Its processes start while files are looked at; a batch that goes on may have nothing for them.
        executor = computing.enter_context(executor_of(settings, target, temporary)) if new else None
        roles, phi = [role.name for role in bundle.roles], settings.segment.phi
        index(source, ledger, roles, leave_out=target, temporary=temporary, phi=phi, processes=thread_count(),
              progress=renewing(progress, ledger))  # fmt: skip
        ledger.take_up()
        _requeue(ledger, settings)
        if is_bids(source):
            describe_derivative(target, source.as_uri())
        figures: Mapping[str, float] = {}
        with _tables_written(ledger, target):
            if ledger.counts()[State.QUEUED]:
                executor = executor or computing.enter_context(executor_of(settings, target, temporary))
                BatchRun(ledger, target, phi=phi, told=told).run(executor)
                figures = executor.figures()
            else:
                told(ledger.counts())
        return Batch(target, ledger.counts(), figures)


@contextmanager
def _owned_ledger(target: Path) -> Iterator[Ledger]:
    """The ledger, this process's until the block ends; what a batch that was killed has left lying is cleared."""
    with owned(Ledger(target, writing=True), target) as ledger:
        remove_unfinished(target)
        try:
            yield ledger
        finally:
            remove_unfinished(target)


@contextmanager
def _tables_written(ledger: Ledger, target: Path) -> Iterator[None]:
    """However the block ends; a disk that is full is told once."""
    try:
        yield
    except BaseException:
        with suppress(EnvironmentFailure):
            _write_tables(ledger, target)
        raise
    _write_tables(ledger, target)


def _write_tables(ledger: Ledger, target: Path) -> None:
    write_summary(ledger, target)
    write_index_page(ledger, target)


@contextmanager
def _nothing_left_if(new: bool, target: Path) -> Iterator[None]:
    """A call that is refused as a whole, at its first try, leaves neither a ledger nor a folder."""
    there = reachable(target)
    try:
        yield
    except (InputRefused, UsageError):
        if new:
            for name in (LEDGER_FILE, f"{LEDGER_FILE}-wal", f"{LEDGER_FILE}-shm", LOCK_FILE):
                (target / name).unlink(missing_ok=True)
            if not there:
                with suppress(OSError):
                    target.rmdir()
        raise


def _check_same(ledger: Ledger, settings: BatchSettings, source: Path) -> None:
    """A ledger is for one ROOT and one choice of settings: `done` would mean several things otherwise."""
    wanted = {_SOURCE: json.dumps(str(source)), _SETTINGS: json.dumps(settings.of_results, sort_keys=True)}
    for name, value in wanted.items():
        known = ledger.fact(name)
        if known is None:
            ledger.store_fact(name, value)
        elif known != value:
            what = "other studies (ROOT)" if name == _SOURCE else f"other settings ({_differences(known, value)})"
            message = f"the batch in this folder was begun with {what}; choose another OUT"
            raise UsageError(Problem(Code.USAGE, message, ledger.path.parent.name))


def _differences(known: str, value: str) -> str:
    before, now = json.loads(known), json.loads(value)
    return ", ".join(name for name in now if before.get(name) != now[name])


def _requeue(ledger: Ledger, settings: BatchSettings) -> None:
    wanted = {State.FAILED: settings.retry_failed, State.REFUSED: settings.retry_refused}
    if states := [state for state, again in wanted.items() if again]:
        ledger.requeue(states)


def executor_of(settings: BatchSettings, target: Path, temporary: Path) -> Executor:
    """Who computes; results go below `target`."""
    if settings.executor == LOCAL:
        timeout_s = settings.timeout_minutes * 60
        workers = settings.workers or usual_workers()
        memory = memory_each(workers) if settings.memory_gb is None else int(settings.memory_gb * 1e9)
        return LocalExecutor(settings.segment, target, temporary, workers, timeout_s=timeout_s, memory=memory)
    from scanweave.pipeline.batch.dask_executor import DaskExecutor

    return DaskExecutor(settings, target)
