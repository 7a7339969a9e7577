"""The short version of benchmarks/hospital.py: a node between a real Orthanc and itself, in every trouble at once."""

import json
import os
import subprocess
import sys

import pytest
from conftest import IN_CI, REPOSITORY
from external_tools import require_tool


def test_everything_that_was_sent_is_done_once() -> None:
    require_tool("Orthanc")
    command = [sys.executable, str(REPOSITORY / "benchmarks" / "hospital.py"), "--short"]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=900)
    assert ran.returncode == 0, ran.stdout[-3000:] + ran.stderr[-3000:]
    counts = json.loads(ran.stdout.rpartition("}")[0] + "}")
    assert counts["sent"] == 8 == counts["done"] + counts["refused"] + counts["failed"]
    assert counts["results_in_orthanc"] >= 2 * counts["done"] > 0
    assert counts["kills"] >= 3 and ran.stdout.rstrip().endswith("all counts agree")


def test_a_disk_that_is_too_small() -> None:
    if os.geteuid() != 0:
        reason = "a small disk needs root"
        pytest.fail(reason) if IN_CI else pytest.skip(reason)
    command = [sys.executable, str(REPOSITORY / "benchmarks" / "hospital.py"),
               "--studies", "6", "--kills", "1", "--disk-mb", "10.8"]  # fmt: skip
    ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=900)
    if "returned non-zero exit status 32" in ran.stderr:
        pytest.skip("this machine mounts no tmpfs, root or not")
    assert ran.returncode == 0, ran.stdout[-3000:] + ran.stderr[-3000:]
    assert json.loads(ran.stdout.rpartition("}")[0] + "}")["times_without_room"] > 0
