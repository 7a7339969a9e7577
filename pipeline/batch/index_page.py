"""`OUT/index.html`: every study in a table with its picture, those to look at first, and a filter."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from scanweave import RESEARCH_NOTICE, __version__
from scanweave.errors import printable
from scanweave.pipeline.batch.batch_file import batch_file
from scanweave.pipeline.batch.entry import State
from scanweave.pipeline.batch.ledger import Ledger, Row
from scanweave.pipeline.batch.summary import SUMMARY_FILE, summary_row
from scanweave.pipeline.outputs import OUTPUTS
from scanweave.pipeline.page_template import page_template

INDEX_PAGE = "index.html"
_TEMPLATE, _SCRIPT = Path(__file__).with_name("index.html"), Path(__file__).with_name("index.js")
ORDER = ("review", "failed", "refused", "warning", "done", "running", "queued")
"""Of the rows; "review" is done with a registration that a human should look at, "warning" done with any other."""


def write_index_page(ledger: Ledger, out: Path) -> None:
    """Write the page; pictures and reports are those in the studies' folders, found by the links' own names."""
    rows = sorted((_shown(row, out) for row in ledger.rows()), key=lambda row: (ORDER.index(row["rank"]), row["study"]))
    script = _SCRIPT.read_text(encoding="utf-8")
    shown = {
        "rows": rows,
        "counts": {rank: sum(row["rank"] == rank for row in rows) for rank in ORDER},
        "states": {str(state): count for state, count in ledger.counts().items()},
        "written": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "notice": RESEARCH_NOTICE,
        "version": __version__,
        "summary": SUMMARY_FILE,
        "script": script,
        "script_hash": base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    }
    with batch_file(out / INDEX_PAGE, "the table") as stream:
        stream.write(page_template(_TEMPLATE).render(**shown).encode())


def _shown(row: Row, out: Path) -> dict[str, Any]:
    cells = summary_row(row)
    warnings = [printable(text) for text in row.result.get("warnings", ())]
    folder = quote(row.entry.name)
    return {
        "study": cells["study"],
        "rank": _rank(row, cells),
        "code": cells["code"],
        "message": cells["message"],
        "volume_ml": cells.get("volume_ml"),
        "parts": cells.get("parts"),
        "displacement_mm": cells.get("displacement_mm"),
        "substituted": cells.get("substituted"),
        "warnings": warnings,
        "report": _link(out, row, folder, "report"),
        "picture": _link(out, row, folder, "thumbnail"),
    }


def _rank(row: Row, cells: Mapping[str, Any]) -> str:
    if row.state is not State.DONE:
        return str(row.state)
    if cells.get("flagged"):
        return "review"
    return "warning" if row.result.get("warnings") else "done"


def _link(out: Path, row: Row, folder: str, output: str) -> str | None:
    """Relative to the page; None where the study has no such file."""
    file = OUTPUTS[output].file
    there = row.state is State.DONE and (out / row.entry.name / file).is_file()
    return f"{folder}/{file}" if there else None
