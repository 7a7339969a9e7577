"""Short versions of benchmarks/batch_proof.py: kills at random moments, a full disk, many entries in flat memory."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import IN_CI, REPOSITORY

sys.path.insert(0, str(REPOSITORY / "benchmarks"))

import batch_proof
import proof_rooms
import study_copies


@pytest.fixture
def room(tmp_path: Path) -> proof_rooms.Room:
    return proof_rooms.Room.within(tmp_path)


def test_killed_at_random(room: proof_rooms.Room) -> None:
    room.fill(4, bad=1)
    seen = batch_proof.kill_at_random(room, kills=5, seed=7, tell=False)
    assert seen.kills >= 5 and seen.studies == 6 * seen.rounds


def test_a_full_disk(room: proof_rooms.Room) -> None:
    if os.geteuid() != 0:
        reason = "a small disk needs root"
        pytest.fail(reason) if IN_CI else pytest.skip(reason)
    try:
        with proof_rooms.small_disk(room.folder / "try", 1):
            pass
    except subprocess.CalledProcessError:
        pytest.skip("this machine mounts no tmpfs, root or not")
    room.fill(4, bad=1)
    found = batch_proof.fill_the_disk(room, 2)
    assert found["studies"] == 6 and found["times_full"] >= 1


def test_memory_does_not_grow_with_the_entries(room: proof_rooms.Room) -> None:
    study_copies.write_tiny_studies(room.root, room.small, 400, 2)
    many = batch_proof.measured_index(room, room.folder / "many")
    few_root = room.folder / "few"
    study_copies.write_tiny_studies(few_root, room.small, 10, 2)
    room.root = few_root
    few = batch_proof.measured_index(room, room.folder / "few-out")
    assert (many["count"], few["count"]) == (400, 10)
    assert 20 < many["peak_mb"] < few["peak_mb"] + 20


def test_many_through_the_whole_batch(room: proof_rooms.Room) -> None:
    found = batch_proof.many_entries(room, studies=150, files=2)
    assert found["studies"] == 150
