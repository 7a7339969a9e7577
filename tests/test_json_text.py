"""Configurations are written as a person would, and mean what they meant."""

import json
from pathlib import Path

import pytest
from conftest import REPOSITORY

from scanweave.pipeline.json_text import WIDTH, json_text

CONFIGS = sorted((REPOSITORY / "bundles").glob("*/configs/*.json"))


@pytest.mark.parametrize("path", CONFIGS, ids=[f"{path.parent.parent.name}/{path.name}" for path in CONFIGS])
def test_what_is_written_is_what_was_read(path: Path) -> None:
    document = json.loads(path.read_text())
    text = json_text(document)
    assert json.loads(text) == document and list(json.loads(text)) == list(document)
    assert text.startswith("{\n") and text.endswith("}\n") and "\t" not in text
    assert json_text(json.loads(text)) == text


def test_a_chain_has_a_line_for_each_step_and_groups_are_apart() -> None:
    steps = [{"_target_": "a", "keys": ["x" * WIDTH, {"deep": 1}]}, {"_target_": "b"}]
    text = json_text({"first": 1, "chain": {"_target_": "Compose", "transforms": steps}, "last": []}, spaced=["last"])
    lines = text.splitlines()
    assert [line.strip().rstrip(",") for line in lines if line.strip().startswith('{"_target_"')] == [
        json.dumps(step) for step in steps
    ]
    assert lines[-3:] == ["", '    "last": []', "}"]
    assert all(len(line) <= WIDTH for line in lines if "xxx" not in line)


def test_letters_stay_letters() -> None:
    assert "Müller" in json_text({"authors": ["Müller"]})
