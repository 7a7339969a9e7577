"""A cluster of Dask on loopback: a scheduler and workers in processes of their own, with TLS where it is wanted."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from batch_rooms import wait_until

TESTS = Path(__file__).resolve().parent


@dataclass
class DaskCluster:
    """The scheduler's address, its processes, and where TLS's files lie."""

    folder: Path
    tls: bool
    address: str = ""
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)
    scheduler: subprocess.Popen[bytes] | None = None

    @property
    def options(self) -> list[str]:
        """What `scanweave batch` needs to reach it."""
        files = [f"--tls-{name}={self.folder / name}.pem" for name in ("ca", "cert", "key")] if self.tls else []
        return ["--executor=dask", f"--scheduler={self.address}", *files]

    @property
    def tls_options(self) -> list[str]:
        """The same for Dask's own commands."""
        names = {"--tls-ca-file": "ca", "--tls-cert": "cert", "--tls-key": "key"}
        return [f"{option}={self.folder / name}.pem" for option, name in names.items()] if self.tls else []

    def add_worker(self, name: str, *options: str, **environment: str) -> subprocess.Popen[bytes]:
        """Start a worker in a session of its own; it is there when the scheduler knows it."""
        command = ["worker", self.address, "--nthreads=1", f"--name={name}", "--no-dashboard", *options]
        worker = self._start(name, *command, **environment)
        self.workers.append(worker)
        return worker

    def stop_scheduler(self) -> None:
        """kill -9."""
        if self.scheduler is not None:
            kill(self.scheduler)

    def _start(self, name: str, *command: str, **environment: str) -> subprocess.Popen[bytes]:
        path = os.pathsep.join([str(TESTS), *filter(None, [os.environ.get("PYTHONPATH")])])
        environment = {**os.environ, "PYTHONPATH": path, **environment}
        log = (self.folder / f"{name}.log").open("wb")
        return subprocess.Popen([sys.executable, "-m", "dask", *command, *self.tls_options], cwd=self.folder,
                                env=environment, stdout=log, stderr=log, start_new_session=True)  # fmt: skip

    def wait_for_workers(self, count: int) -> None:
        """Until each has said that it is registered."""
        wait_until(lambda: sum(b"Registered to" in path.read_bytes() for path in self.folder.glob("w*.log")) >= count)


@contextmanager
def dask_cluster(folder: Path, *, tls: bool = False) -> Iterator[DaskCluster]:
    """A scheduler; workers are added to it."""
    folder.mkdir()
    cluster = DaskCluster(folder, tls)
    if tls:
        make_certificate(folder)
    protocol = "tls" if tls else "tcp"
    file = folder / "scheduler.json"
    cluster.scheduler = cluster._start(
        "scheduler", "scheduler", f"--protocol={protocol}", "--host=127.0.0.1", "--port=0", "--no-dashboard",
        f"--scheduler-file={file}",
    )  # fmt: skip
    try:
        wait_until(file.exists)
        cluster.address = json.loads(file.read_text())["address"]
        yield cluster
    finally:
        for process in cluster.workers:
            kill(process)
        cluster.stop_scheduler()


def kill(process: subprocess.Popen[bytes]) -> None:
    """kill -9, with whatever it has started."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    process.wait()


def make_certificate(folder: Path) -> None:
    """One that is its own authority."""
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=scanweave-test",
               "-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")]  # fmt: skip
    subprocess.run(command, check=True, capture_output=True)
    (folder / "ca.pem").write_bytes((folder / "cert.pem").read_bytes())
