"""One study in a process of its own kind: what it is told, what it does, what it answers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scanweave.errors import Code, EnvironmentFailure, InputRefused, Problem, ScanweaveError, UsageError, printable
from scanweave.pipeline.batch.entry import Entry, Outcome, State
from scanweave.pipeline.identity import pseudonym
from scanweave.pipeline.outputs import RESULT_FILE
from scanweave.pipeline.reserve_result import ResultWish
from scanweave.pipeline.result import without_uids
from scanweave.pipeline.segmenter import Segmenter

OF_THE_STUDY = frozenset({Code.OUT_OF_MEMORY, Code.NOT_FINITE_OUTPUT, Code.CRASHED})
"""Failures of the environment that the next study need not have."""


@dataclass(frozen=True)
class Job:
    """A study to be segmented below `out`: paths travel, never voxels. `predecessor` is the SR that its own follows."""

    entry: Entry
    out: Path
    phi: bool = False
    predecessor: Path | None = None

    @property
    def folder(self) -> Path:
        """Where its results go."""
        return self.out / self.entry.name


def do_job(job: Job, segmenter: Segmenter) -> Outcome:
    """Segment the study; whatever goes wrong is an outcome, but for what ends the process.

    What an earlier attempt has finished is not done again: it died before anybody heard of it.
    """
    before = read_result(job.folder)
    if (finished := _finished(before, job)) is not None:
        return finished
    try:
        # Of older studies' files: a result that no batch wrote has no fingerprint, and is somebody's.
        wish = ResultWish(job.entry.name, bool(before.get("fingerprint")), job.entry.fingerprint, job.predecessor)
        done = segmenter(job.entry.request, wish)
        return Outcome(State.DONE, result=brief(done.record))
    except EnvironmentFailure as failure:
        fatal = failure.code not in OF_THE_STUDY
        return Outcome(State.FAILED, failure.code, _words(failure, job), fatal=fatal)
    except (InputRefused, UsageError) as refusal:
        # A worker of a batch that was killed may have gone on to its end meanwhile.
        meanwhile = read_result(job.folder) if refusal.code is Code.OUTPUT_EXISTS else {}
        return _finished(meanwhile, job) or Outcome(State.REFUSED, refusal.code, _words(refusal, job))
    except MemoryError:
        return Outcome(State.FAILED, Code.OUT_OF_MEMORY, "the machine has too little memory for this study")
    except Exception as defect:
        text = f"a defect of scanweave ({type(defect).__name__}); segment --debug shows where"
        return Outcome(State.FAILED, Code.INTERNAL, text)


def _finished(record: Mapping[str, Any], job: Job) -> Outcome | None:
    """Of a result that is whole on the disk and of the very files of `job`, by whoever was killed before he told."""
    if not record or record.get("fingerprint") != job.entry.fingerprint:
        return None
    return Outcome(State.DONE, result=brief(record))


def read_result(folder: Path) -> dict[str, Any]:
    """The content of a folder's result.json; {} where there is none that is whole."""
    try:
        record = json.loads((folder / RESULT_FILE).read_bytes())
        return record if isinstance(record, dict) else {}
    except (OSError, ValueError):
        return {}


def brief(record: Mapping[str, Any]) -> dict[str, Any]:
    """Of a study's result.json what the summary shows."""
    roles = {role: {"substituted": found["substituted"]} for role, found in record["roles"].items()}
    registration = {
        role: {"displacement_mm": found["displacement_mm"], "flagged": found["flagged"]}
        for role, found in record["registration"].items()
    }
    return {
        "volume_ml": record["volume_ml"],
        "components": record["components"],
        "roles": roles,
        "registration": registration,
        "warnings": list(record["warnings"]),
        "seconds": round(sum(record["seconds"].values()), 2),
        "weights": record["weights"],
        "bundle": record["bundle"],
        "version": record["versions"]["scanweave"],
    }


def _words(error: ScanweaveError, job: Job) -> str:
    """Every problem without its code, no UID and no file in it: the ledger's messages go to logs and tables."""
    lines = [_problem_words(problem, phi=job.phi) for problem in error.problems]
    return without_uids(printable("; ".join(dict.fromkeys(lines))), phi=job.phi)


def _problem_words(problem: Problem, *, phi: bool) -> str:
    """Files may bear a patient's name: only the series is told, and `inspect` tells the file."""
    told = problem.where if phi or problem.where.startswith("series ") else ""
    return f"{problem.message} ({told})" if told else problem.message


def site_key_mark() -> str:
    """Equal where results are named alike; the key cannot be read back from it."""
    return pseudonym("scanweave batch")
