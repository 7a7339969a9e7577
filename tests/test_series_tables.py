"""Roles of real studies' headers: never a wrong one, and seldom none where a reader of the headers knows it.

The rules were made with `tune.yaml` in view; `held.yaml` was first judged when they stood: docs/selection.md.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from header_tables import ROLE_NAMES, judged, read_table

from scanweave.transforms.selection.select import parse_roles

METADATA = Path(__file__).parent.parent / "bundles" / "flair_abnormality" / "configs" / "metadata.json"
LEAST_RECALL = 0.95
KNOWN_WRONG = {"tune": {("b-jp-iac-sudden-deafness", "flair")}, "held": set()}
"""A FLAIR of the inner ear alone, whose 60 mm could be those of a small head: only its neighbours would tell."""
LABELS = {*ROLE_NAMES, "t1_unknown", "other"}


@pytest.mark.parametrize("table", ["tune", "held"])
def test_roles_are_never_wrong_and_seldom_missed(table: str) -> None:
    roles = parse_roles(json.loads(METADATA.read_text())["roles"])
    verdicts = [verdict for study in read_table(table) for verdict in judged(study, roles)]
    wrong = {(verdict.study, verdict.role) for verdict in verdicts if verdict.wrong}
    right = sum(verdict.right for verdict in verdicts)
    missed = [verdict for verdict in verdicts if verdict.missed]
    assert wrong == KNOWN_WRONG[table]
    assert right / (right + len(missed)) >= LEAST_RECALL, missed


def test_tables_are_of_many_sites_and_say_where_from() -> None:
    tables = [read_table("tune"), read_table("held")]
    studies = [study for table in tables for study in table]
    assert len({study["id"] for study in studies}) == len(studies) >= 150
    assert all(len(table) > 100 and len({study["language"] for study in table}) >= 5 for table in tables)
    for study in studies:
        numbers = [item["SeriesNumber"] for item in study["series"]]
        assert study["source"] and study["vendor"] and len(set(numbers)) == len(numbers) > 0
        assert {item["label"] for item in study["series"]} <= LABELS
        assert set(study["expect"]) == set(ROLE_NAMES)
