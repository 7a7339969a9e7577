"""Batches on clusters of Dask: a local one, an existing one under TLS, workers that die, hang or do not fit."""

import json
import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from batch_faults import FAULT_FILE
from batch_rooms import PATIENCE, add_patient, check_whole, marks, record_of, states, wait_until, with_faults
from dask_cluster import DaskCluster, dask_cluster, kill
from studies import console_script, run

pytest_plugins = ["study_fixtures"]


@contextmanager
def two_workers(folder: Path) -> Iterator[DaskCluster]:
    """Under TLS."""
    with dask_cluster(folder, tls=True) as started:
        for name in ("w1", "w2"):
            started.add_worker(name, SCANWEAVE_SITE_KEY="tests")
        started.wait_for_workers(2)
        yield started


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaskCluster]:
    """One for all tests that leave it whole."""
    with two_workers(tmp_path_factory.mktemp("dask") / "cluster") as started:
        yield started


def fill(root: Path, small_study: Path, count: int) -> None:
    for n in range(count):
        add_patient(small_study, root / f"{n}", n)


def test_a_local_cluster(small_study: Path, small_bundle: Path, tmp_path: Path) -> None:
    root, out = tmp_path / "root", tmp_path / "out"
    fill(root, small_study, 3)
    (root / "broken.zip").write_bytes(b"PK\x03\x04")
    call = ["batch", root, "-o", out, "--bundle", small_bundle, "--executor", "dask", "--workers", 2, "--json"]
    # A process of its own: Dask's workers are started as it was.
    ran = subprocess.run(console_script(*call), capture_output=True, text=True, check=False, cwd=tmp_path)
    assert ran.returncode == 4, ran.stderr
    record = record_of(ran.stdout)
    assert (record["done"], record["refused"]) == (3, 1)
    assert ran.stderr == ""
    check_whole(out, ended=True)


def test_an_existing_cluster_and_a_worker_that_is_killed(small_study: Path, small_bundle: Path, tmp_path: Path) -> None:
    """Its study is taken up by the other; nothing is done twice, and the workers stay for the next batch."""
    root, out = tmp_path / "root", tmp_path / "out"
    fill(root, small_study, 6)
    with two_workers(tmp_path / "cluster") as cluster:
        call = ["batch", root, "-o", out, "--bundle", small_bundle, *cluster.options, "--json"]
        process = started_batch(call, out)
        kill(cluster.workers[0])
        printed, errors = process.communicate(timeout=120 * PATIENCE)
        assert process.returncode == 0, errors
        assert record_of(printed)["done"] == 6
        check_whole(out, ended=True)
        add_patient(small_study, root / "new", 7)
        again = run(*call)
        assert (again.exit_code, record_of(again.out)["done"]) == (0, 7)


def started_batch(call: Sequence[object], out: Path) -> subprocess.Popen[str]:
    """A batch in a process of its own that has done its first study."""
    patience = {"DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT": "5s"}
    process = subprocess.Popen(console_script(*call), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                               env={**os.environ, **patience})  # fmt: skip
    wait_until(lambda: marks(out) or process.poll() is not None)
    return process


def test_studies_that_kill_or_hang_their_workers_fail(
    cluster: DaskCluster, small_study: Path, small_bundle: Path, tmp_path: Path
) -> None:
    root, out = tmp_path / "root", tmp_path / "out"
    bundle = with_faults(small_bundle, tmp_path / "quick")
    fill(root, small_study, 3)
    (root / "0" / FAULT_FILE).write_text("exit")
    call = ["batch", root, "-o", out, "--bundle", bundle, *cluster.options, "--json"]
    ran = run(*call, "--timeout", 1)
    assert ran.exit_code == 4, ran.lines
    record = record_of(ran.out)
    assert (record["done"], record["failed"]) == (2, 1)
    listed = run("ledger", out, "--failed", "--json")
    (failed,) = json.loads(listed.out)["studies"]
    assert failed["code"] == "CRASHED" and "every worker that tried it died" in failed["message"]
    check_whole(out, ended=True)


def test_workers_with_a_gpu_get_everything(small_study: Path, small_bundle: Path, tmp_path: Path) -> None:
    root, out = tmp_path / "root", tmp_path / "out"
    bundle = with_faults(small_bundle, tmp_path / "quick")
    fill(root, small_study, 2)
    for n in range(2):
        (root / f"{n}" / FAULT_FILE).write_text("whose")
    with dask_cluster(tmp_path / "cluster") as started:
        started.add_worker("w1", WHOSE_FILE=str(tmp_path / "plain"))
        started.add_worker("w2", "--resources", "GPU=1", WHOSE_FILE=str(tmp_path / "gpu"))
        started.wait_for_workers(2)
        ran = run("batch", root, "-o", out, "--bundle", bundle, *started.options, "--json")
    assert (ran.exit_code, record_of(ran.out)["done"]) == (0, 2)
    assert (tmp_path / "gpu").read_text() == "xx" and not (tmp_path / "plain").exists()


def test_a_scheduler_that_is_not_there(small_study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from scanweave.pipeline.batch import dask_executor

    monkeypatch.setattr(dask_executor, "CONNECT_S", 2.0)
    fill(tmp_path / "root", small_study, 1)
    ran = run(
        "batch", tmp_path / "root", "-o", tmp_path / "out", "--executor", "dask", "--scheduler", "tcp://127.0.0.1:9"
    )
    assert ran.exit_code == 5
    assert ran.codes == ["SCHEDULER_UNREACHABLE"]


def test_without_its_certificate_nobody_gets_in(
    cluster: DaskCluster, small_study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from scanweave.pipeline.batch import dask_executor

    monkeypatch.setattr(dask_executor, "CONNECT_S", 3.0)
    fill(tmp_path / "root", small_study, 1)
    call = ["batch", tmp_path / "root", "-o", tmp_path / "out", "--executor", "dask", "--json"]
    ran = run(*call, "--scheduler", cluster.address.replace("tls", "tcp"))
    assert (ran.exit_code, ran.codes) == (5, ["SCHEDULER_UNREACHABLE"])
    ran = run(*call, "--scheduler", cluster.address)
    assert (ran.exit_code, ran.codes) == (5, ["SCHEDULER_UNREACHABLE"])


def test_workers_with_another_site_key_do_not_fit(
    cluster: DaskCluster, small_study: Path, small_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same study would have two names."""
    monkeypatch.setitem(os.environ, "SCANWEAVE_SITE_KEY", "another")
    fill(tmp_path / "root", small_study, 1)
    ran = run("batch", tmp_path / "root", "-o", tmp_path / "out", "--bundle", small_bundle, *cluster.options)
    assert (ran.exit_code, ran.codes) == (5, ["ENVIRONMENT_INCOMPLETE"])
    assert "SCANWEAVE_SITE_KEY" in ran.lines[0]


def test_when_the_scheduler_dies_the_queue_has_its_studies(
    small_study: Path, small_bundle: Path, tmp_path: Path
) -> None:
    root, out = tmp_path / "root", tmp_path / "out"
    fill(root, small_study, 8)
    call = ["batch", root, "-o", out, "--bundle", small_bundle, "--json"]
    with two_workers(tmp_path / "cluster") as cluster:
        process = started_batch([*call, *cluster.options], out)
        cluster.stop_scheduler()
        _, errors = process.communicate(timeout=120 * PATIENCE)
        assert process.returncode == 5 and "error[SCHEDULER_UNREACHABLE]" in errors, errors
        assert "running" not in states(out).values()
        ran = run(*call, "--workers", 2)
    assert ran.exit_code == 0, run("ledger", out, "--failed").out
    assert record_of(ran.out)["done"] == 8
    check_whole(out, ended=True)
