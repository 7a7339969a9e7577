"""The local executor: whichever process dies, its study is lost and told, and the next one is computed."""

import os
import signal
import time
from collections.abc import Iterator
from multiprocessing import AuthenticationError
from multiprocessing.connection import Client
from pathlib import Path

import pytest
from batch_rooms import PATIENCE, add_patient, patience_s

from scanweave.errors import Code, EnvironmentFailure
from scanweave.pipeline.batch import network_process
from scanweave.pipeline.batch.entry import Entry, State
from scanweave.pipeline.batch.executor import Ending
from scanweave.pipeline.batch.job import Job
from scanweave.pipeline.batch.local import LocalExecutor, memory_each, usual_workers
from scanweave.pipeline.segment_settings import SegmentSettings

pytest_plugins = ["study_fixtures"]


@pytest.fixture
def executor(small_bundle: Path, tmp_path: Path) -> Iterator[LocalExecutor]:
    settings = SegmentSettings(bundle=small_bundle)
    with LocalExecutor(settings, tmp_path, tmp_path, 1, timeout_s=60 * PATIENCE, memory=None) as started:
        yield started


def job(small_study: Path, folder: Path, number: int) -> Job:
    add_patient(small_study, folder / f"in-{number}", number)
    return Job(Entry(f"s{number}", str(folder / f"in-{number}"), fingerprint="a"), folder)


def ending(executor: LocalExecutor) -> Ending:
    deadline = time.monotonic() + 60 * PATIENCE
    while time.monotonic() < deadline:
        if found := executor.ended(1.0):
            return found[0]
    raise AssertionError("no ending came")


def was_done_in_the_end(executor: LocalExecutor, given: Job) -> bool:
    """A busy machine may take longer than `timeout_s` to start a network; who hangs, hangs every time."""
    for _ in range(4):
        executor.submit(given)
        if ending(executor).outcome.state is State.DONE:
            return True
    return False


def test_one_after_the_other(executor: LocalExecutor, small_study: Path, tmp_path: Path) -> None:
    for number in range(2):
        executor.submit(job(small_study, tmp_path, number))
        found = ending(executor)
        assert (found.job.entry.name, found.outcome.state) == (f"s{number}", State.DONE)
        assert (tmp_path / f"s{number}" / "result.json").exists()
    figures = executor.figures()
    assert 0 < figures["network_busy_s"] <= figures["network_span_s"]


def test_a_worker_that_dies_idle_is_replaced(executor: LocalExecutor, small_study: Path, tmp_path: Path) -> None:
    os.kill(executor._workers[0]._process.pid or 0, signal.SIGKILL)
    executor._workers[0]._process.join()
    executor.submit(job(small_study, tmp_path, 0))
    assert ending(executor).outcome.state is State.DONE


def test_a_worker_that_dies_at_work(executor: LocalExecutor, small_study: Path, tmp_path: Path) -> None:
    executor.submit(job(small_study, tmp_path, 0))
    os.kill(executor._workers[0]._process.pid or 0, signal.SIGKILL)
    found = ending(executor)
    assert found.outcome.code is Code.CRASHED
    assert "signal 9" in found.outcome.message
    executor.submit(job(small_study, tmp_path, 1))
    assert ending(executor).outcome.state is State.DONE


def test_the_networks_death_is_no_studys_fault(
    executor: LocalExecutor, small_study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    executor.submit(job(small_study, tmp_path, 0))
    assert ending(executor).outcome.state is State.DONE
    executor._network.end()
    executor.submit(job(small_study, tmp_path, 1))
    first = ending(executor)
    if first.outcome.code is Code.CRASHED:  # the worker's old connection broke; the next attempt makes another
        executor.submit(first.job)
        first = ending(executor)
    assert first.outcome.state is State.DONE
    monkeypatch.setattr(network_process, "MOST_SHORT_LIVES", 2)
    with pytest.raises(EnvironmentFailure, match=r"CRASHED.*died 3 times"):
        for _ in range(4):
            executor._network.end()
            executor._network.keep_alive()


def test_strangers_at_the_networks_door(executor: LocalExecutor, small_study: Path, tmp_path: Path) -> None:
    """Any process of the machine can reach the socket: one that is silent, one with another word."""
    executor.submit(job(small_study, tmp_path, 0))
    assert ending(executor).outcome.state is State.DONE
    address, process = executor._network.address, executor._network._process
    silent = [Client(address.socket, "AF_UNIX") for _ in range(3)]
    with pytest.raises(AuthenticationError):
        Client(address.socket, "AF_UNIX", authkey=b"another word")
    executor._workers[0].kill()  # the next one has to knock too
    executor.submit(job(small_study, tmp_path, 1))
    assert ending(executor).outcome.state is State.DONE
    assert executor._network._process is process, "and none of them ended it"
    for connection in silent:
        connection.close()


def test_a_network_that_computes_without_end_is_ended(small_study: Path, small_bundle: Path, tmp_path: Path) -> None:
    settings = SegmentSettings(bundle=small_bundle)
    timeout_s = patience_s(small_study, small_bundle, tmp_path / "once")
    with LocalExecutor(settings, tmp_path, tmp_path, 1, timeout_s=timeout_s, memory=None) as executor:
        assert was_done_in_the_end(executor, job(small_study, tmp_path, 0))
        process = executor._network._process
        assert process is not None
        os.kill(process.pid or 0, signal.SIGSTOP)
        executor.submit(job(small_study, tmp_path, 1))
        found = ending(executor)
        assert found.outcome.code is Code.TIMED_OUT
        assert was_done_in_the_end(executor, found.job)
        assert executor._network._process is not process


def test_how_many_and_how_large(monkeypatch: pytest.MonkeyPatch) -> None:
    from scanweave.pipeline.batch import local

    monkeypatch.setattr(local, "thread_count", lambda: 16)
    monkeypatch.setattr(local, "available_memory", lambda: 64 << 30)
    assert usual_workers() == 16
    assert memory_each(16) == int((64 << 30) * 0.9 / 17)
    monkeypatch.setattr(local, "available_memory", lambda: 8 << 30)
    assert usual_workers() == 3, "memory is what there is least of"
    monkeypatch.setattr(local, "available_memory", lambda: 1 << 30)
    assert usual_workers() == 1
    monkeypatch.setattr(local, "available_memory", lambda: None)
    assert (usual_workers(), memory_each(4)) == (16, None)
