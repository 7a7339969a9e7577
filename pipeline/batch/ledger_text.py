"""What `scanweave ledger` says: how a batch stands, what has failed, all about one study."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from scanweave import RESEARCH_NOTICE
from scanweave.errors import Code, InputRefused, Problem, printable
from scanweave.pipeline.batch.entry import State
from scanweave.pipeline.batch.ledger import Ledger, Row
from scanweave.pipeline.batch.summary import summary_row

_TROUBLED = (State.REFUSED, State.FAILED)


def ledger_record(out: Path, *, failed: bool = False, study: str | None = None) -> dict[str, Any]:
    """The JSON document: counts, and the rows that were asked for.

    Raises
    ------
    InputRefused
        INPUT_NOT_FOUND for a study that is not in the ledger.
    EnvironmentFailure
        LEDGER_INVALID.
    """
    ledger = Ledger(out, writing=False)
    try:
        record: dict[str, Any] = {"counts": {str(state): count for state, count in ledger.counts().items()}}
        abandoned = sum(row.abandoned for row in ledger.rows((State.RUNNING,)))
        if abandoned:
            record["abandoned"] = abandoned
        if study is not None:
            row = ledger.row(study)
            if row is None:
                raise InputRefused(Problem(Code.INPUT_NOT_FOUND, "expected the name of a study in this ledger", study))
            record["study"] = _whole(row)
        elif failed:
            record["studies"] = [short_record(row) for row in ledger.rows(_TROUBLED)]
        else:
            record["codes"] = dict(Counter(row.code for row in ledger.rows(_TROUBLED)).most_common())
        return record | {"notice": RESEARCH_NOTICE}
    finally:
        ledger.close()


def ledger_lines(record: dict[str, Any]) -> Iterator[str]:
    """The same for people."""
    if "study" in record:
        for name, value in record["study"].items():
            if isinstance(value, list):
                for item in value:
                    yield f"{name:<16} {printable(str(item))}"
            elif value is not None:
                yield f"{name:<16} {printable(str(value))}"
    else:
        counts = record["counts"]
        yield f"{sum(counts.values())} studies: " + ", ".join(f"{n} {state}" for state, n in counts.items() if n)
        if record.get("abandoned"):
            yield f"{record['abandoned']} of the running ones belong to a batch that was killed; the next takes them up"
        for code, count in record.get("codes", {}).items():
            yield f"  {count:>6} {code}"
        for item in record.get("studies", ()):
            yield f"{item['study']}  {item['state']}  {item['code']}  {printable(item['message'] or '')}"
    yield f"{RESEARCH_NOTICE}."


def short_record(row: Row) -> dict[str, Any]:
    """How a study stands, in a few words."""
    return {
        "study": row.entry.name,
        "state": str(row.state),
        "code": row.code,
        "message": row.message,
        "attempts": row.attempts + row.interrupted,
    }


def _whole(row: Row) -> dict[str, Any]:
    """Everything, the study's place too: whoever may read the ledger may read where the scans lie."""
    entry = row.entry
    cells = summary_row(row)
    return {
        **{name: value for name, value in cells.items() if name not in ("warnings", "first_warning")},
        "path": entry.path or None,
        "files": len(entry.files) or None,
        "inputs": [f"{role}={value}" for role, value in entry.inputs.items()],
        "choice": entry.study or None,
        "fingerprint": entry.fingerprint,
        "begun": _clock(row.begun),
        "lease": "expired: its batch was killed" if row.abandoned else _clock(row.leased),
        "warnings": list(row.result.get("warnings", ())),
    }


def _clock(seconds: float | None) -> str | None:
    return None if seconds is None else time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
