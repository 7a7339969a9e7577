"""The node's configuration: every mistake in one line, and nothing started."""

import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from node_rooms import LOOPBACK
from studies import run

from scanweave.pipeline.node.config_file import read_config

GOOD: dict[str, Any] = {"folder": "node", "receive": {"callers": ["PACS"]}}


def written(folder: Path, config: object) -> Path:
    path = folder / "node.yaml"
    path.write_text(config if isinstance(config, str) else yaml.safe_dump(config))
    return path


def test_the_least_that_is_needed(tmp_path: Path) -> None:
    config = read_config(written(tmp_path, GOOD))
    assert config.folder == tmp_path / "node", "relative to the file, wherever it is called from"
    assert (config.receive.host, config.web.host) == (LOOPBACK, LOOPBACK), "nobody else, unless somebody says so"
    assert config.segment.outputs == ("dicom-seg", "sr", "report")


@pytest.mark.parametrize(
    ("change", "place", "word"),
    [
        ({"receive": {"callers": []}}, "receive.callers", "at least 1"),
        ({"receive": {"callers": ["A" * 17]}}, "receive.callers.0", "16"),
        ({"receive": {"callers": ["PACS"], "port": 70000}}, "receive.port", "65535"),
        ({"receive": {"callers": ["PACS"], "prot": 104}}, "receive.prot", "not permitted"),
        ({"taking": {"quiet_s": 5, "complete_quiet_s": 10}}, "taking", "not longer"),
        ({"web": {"host": "0.0.0.0"}}, "web", "token_file"),
        ({"destinations": [{"kind": "ftp", "name": "x"}]}, "destinations.0", "dicom"),
        ({"destinations": [{"kind": "stow", "name": "x", "url": "nowhere"}]}, "destinations.0.stow.url", "pattern"),
        (
            {"destinations": [{"kind": "stow", "name": "x", "url": "http://a"}] * 2},
            "destinations",
            "two destinations have the name x",
        ),
        ({"destinations": [{"kind": "stow", "name": "x", "url": "http://a", "outputs": ["nifti"]}]}, "outputs",
         "DICOM"),
        ({"segment": {"outputs": ["report"]}, "destinations": [{"kind": "stow", "name": "x", "url": "http://a"}]},
         "the file", "dicom-seg"),
        ({"keep": {"input_days": -1}}, "keep.input_days", "0"),
    ],
)  # fmt: skip
def test_mistakes(tmp_path: Path, change: dict[str, Any], place: str, word: str) -> None:
    ran = run("node", written(tmp_path, GOOD | change))
    assert (ran.exit_code, set(ran.codes)) == (2, {"CONFIG_INVALID"})
    assert place in ran.lines[0] and word in ran.lines[0], ran.lines
    assert not (tmp_path / "node").exists()


def test_all_mistakes_at_once(tmp_path: Path) -> None:
    ran = run("node", written(tmp_path, {"receive": {"port": "x"}}))
    assert ran.codes == ["CONFIG_INVALID"] * 3
    assert [line.split(": ")[1] for line in ran.lines] == ["folder", "receive.port", "receive.callers"]


@pytest.mark.parametrize("text", ["a: [", "", "- 1", "\x00"])
def test_no_configuration(tmp_path: Path, text: str) -> None:
    ran = run("node", written(tmp_path, text))
    assert (ran.exit_code, set(ran.codes)) == (2, {"CONFIG_INVALID"})


def test_certificates_that_cannot_be_used_are_found_before_anything_starts(tmp_path: Path) -> None:
    (tmp_path / "none.pem").write_text("no certificate")
    tls = dict.fromkeys(("cert", "key", "ca"), "none.pem")
    pacs = {"kind": "dicom", "name": "x", "ae_title": "X", "host": LOOPBACK, "port": 104, "tls": tls}
    for change in ({"destinations": [pacs]}, {"receive": {"callers": ["PACS"], "tls": tls}}):
        for options in ((), ("--check",)):
            ran = run("node", *options, written(tmp_path, GOOD | change))
            assert (ran.exit_code, ran.codes) == (5, ["CERTIFICATE_INVALID"])
            assert not (tmp_path / "node").exists()


def test_no_file(tmp_path: Path) -> None:
    ran = run("node", tmp_path / "missing.yaml")
    assert (ran.exit_code, ran.codes) == (2, ["CONFIG_INVALID"])


def test_without_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynetdicom", None)
    ran = run("node", written(tmp_path, GOOD))
    assert (ran.exit_code, ran.codes) == (5, ["ENVIRONMENT_INCOMPLETE"])
    assert "scanweave[node]" in ran.lines[0]


def test_check_names_every_peer_that_does_not_answer(tmp_path: Path) -> None:
    silent = [
        {"kind": "dicom", "name": "pacs", "ae_title": "PACS", "host": LOOPBACK, "port": 1},
        {"kind": "stow", "name": "archive", "url": f"http://{LOOPBACK}:1/dicom-web"},
    ]
    ran = run("node", "--check", written(tmp_path, GOOD | {"destinations": silent}))
    assert (ran.exit_code, ran.codes) == (5, ["PEER_UNREACHABLE"] * 2)
    assert "pacs" in ran.lines[0] and "archive" in ran.lines[1]
    ran = run("node", "--check", written(tmp_path, GOOD))
    assert ran.exit_code == 0 and "valid" in ran.out
    assert not (tmp_path / "node").exists(), "to check writes nothing"
