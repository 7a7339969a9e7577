"""Parts of the MONAI Label app where the real thing does not go wrong by itself, in its own environment."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from conftest import REPOSITORY
from monailabel_server import ANSWER_S, ENVIRONMENT, free_port, require_monailabel

APP = REPOSITORY / "integrations" / "monailabel"
HEAD = f"""
import json, sys
from pathlib import Path
sys.path.insert(0, {str(APP)!r})
from lib.refusal import Refusal
def tell(action):
    try:
        print(json.dumps([200, action()]))
    except Refusal as refusal:
        print(json.dumps([refusal.status_code, refusal.detail]))
"""

ENDED = "error[INTERNAL]: scanweave ended with exit code {} and gave no reason"


def told(code: str) -> list[Any]:
    """What `tell(..)` in `code` printed, a line each."""
    require_monailabel()
    words = [str(ENVIRONMENT / "bin/python"), "-c", HEAD + code]
    done = subprocess.run(words, capture_output=True, text=True, timeout=ANSWER_S, check=False)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def program(path: Path, script: str) -> str:
    """One that stands for scanweave."""
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(path)


def test_a_run_that_hangs_is_ended_with_all_its_processes(tmp_path: Path) -> None:
    hanging = program(tmp_path / "hanging", f"(sleep 3; touch {tmp_path}/alive) & sleep 60")
    ((status, said),) = told(f"""
from lib.command import Scanweave
tell(lambda: Scanweave({hanging!r}).run("segment", timeout_s=0.5))
""")
    assert (status, said) == (504, "error[TIMED_OUT]: scanweave took longer than 0 s")
    time.sleep(4)
    assert not (tmp_path / "alive").exists()


@pytest.mark.parametrize(
    ("script", "status", "said"),
    [
        ("echo 'error[A]: one' >&2; echo 'error[B]: two' >&2; exit 3", 422, "error[A]: one\nerror[B]: two"),
        ("echo 'error[USAGE]: what' >&2; exit 2", 400, "error[USAGE]: what"),
        ("echo 'error[DISK_FULL]: full' >&2; exit 5", 500, "error[DISK_FULL]: full"),
        ("echo 'Hidden^Person' >&2; exit 1", 500, ENDED.format(1)),
        ("kill -9 $$", 500, ENDED.format(-9)),
        ("test -z \"$PYTHONPATH$VIRTUAL_ENV\" && echo done", 200, "done\n"),
    ],
)  # fmt: skip
def test_what_the_command_says_is_what_the_client_reads(tmp_path: Path, script: str, status: int, said: str) -> None:
    fake = program(tmp_path / "fake", script)
    answers = told(f"""
import os
from lib.command import Scanweave
os.environ["PYTHONPATH"] = os.environ["VIRTUAL_ENV"] = "/elsewhere"
tell(lambda: Scanweave({fake!r}).run("segment", timeout_s=60))
""")
    assert answers == [[status, said]]


def test_a_dicomweb_server_that_does_not_answer(tmp_path: Path) -> None:
    ((status, said),) = told(f"""
from dicomweb_client import DICOMwebClient
from lib.dicomweb import fetch_study
client = DICOMwebClient("http://127.0.0.1:{free_port()}/dicom-web")
client.set_http_retry_params(retry=False)
tell(lambda: fetch_study(client, "1.2.3", Path({str(tmp_path)!r})))
""")
    assert status == 502
    assert said == "error[PACS_FAILED]: the DICOMweb server did not give the study (ConnectionError)"


def test_nothing_found_has_no_dicom_seg(tmp_path: Path) -> None:
    (tmp_path / "result").mkdir()
    ((status, said),) = told(f"""
from lib.answers import write_answer
folder = Path({str(tmp_path)!r})
tell(lambda: write_answer(folder / "result", ".dcm", folder / "answer.dcm", "uint8", False))
""")
    assert (status, said[:20]) == (422, "error[EMPTY_RESULT]:")
    assert [path.name for path in tmp_path.iterdir()] == ["result"]
