"""`OUT/summary.csv`: a row a study, for pandas or a spreadsheet."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from scanweave.errors import printable
from scanweave.pipeline.batch.batch_file import batch_file
from scanweave.pipeline.batch.ledger import Ledger, Row

SUMMARY_FILE = "summary.csv"
COLUMNS = {
    "study": "name of the study's folder below OUT; of DICOM a keyed hash",
    "state": "queued, running, done, refused, failed",
    "code": "why it was refused or has failed (docs/errors.md)",
    "message": "the same in words",
    "volume_ml": "of the mask; empty where spacing is not known",
    "parts": "connected parts of the mask that were kept",
    "parts_found": "before the component rule",
    "flagged": "roles whose registration a human should look at, separated by blanks",
    "substituted": "roles without a series of their own",
    "displacement_mm": "the largest of the registrations, mean over the head",
    "warnings": "number of warnings",
    "first_warning": "the most telling one",
    "attempts": "how often it was tried",
    "seconds": "of its last run, all steps together",
    "ended": "UTC, ISO 8601",
    "bundle": "name and version",
    "weights_sha256": "of the network's weights",
    "version": "of scanweave",
}
"""Name and meaning of each column, in order."""


def write_summary(ledger: Ledger, out: Path) -> None:
    """Write the table of all studies, old and new; the file is the old or the new one at any moment."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, COLUMNS)
    writer.writeheader()
    for row in ledger.rows():
        writer.writerow({name: _plain(value) for name, value in summary_row(row).items()})
    with batch_file(out / SUMMARY_FILE, "the summary") as stream:
        stream.write(text.getvalue().encode())


def summary_row(row: Row) -> dict[str, Any]:
    """The row's cells by column; None where there is nothing to say."""
    result = row.result
    return {
        "study": row.entry.name,
        "state": str(row.state),
        "code": row.code,
        "message": printable(row.message) if row.message else None,
        "attempts": row.attempts + row.interrupted,
        "ended": _iso(row.ended),
        **(_of_result(result) if result else {}),
    }


def _of_result(result: Mapping[str, Any]) -> dict[str, Any]:
    moved = result["registration"]
    return {
        "volume_ml": result["volume_ml"],
        "parts": result["components"]["kept"],
        "parts_found": result["components"]["count"],
        "flagged": " ".join(role for role, found in moved.items() if found["flagged"]) or None,
        "substituted": " ".join(role for role, found in result["roles"].items() if found["substituted"]) or None,
        "displacement_mm": max((found["displacement_mm"] for found in moved.values()), default=None),
        "warnings": len(result["warnings"]),
        "first_warning": next((printable(text) for text in result["warnings"]), None),
        "seconds": result["seconds"],
        "bundle": f"{result['bundle']['name']} {result['bundle']['version']}",
        "weights_sha256": result["weights"]["sha256"],
        "version": result["version"],
    }


def _plain(value: object) -> object:
    """Text that a spreadsheet would compute is kept as text (CWE-1236)."""
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@") else value


def _iso(seconds: float | None) -> str | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
