"""Studies on a cluster of Dask: an existing one by the address of its scheduler, or one of this machine's cores."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from queue import Empty, Queue
from typing import TYPE_CHECKING, Any

from scanweave import __version__
from scanweave.errors import Code, EnvironmentFailure, Problem
from scanweave.networks.onnx_network import thread_count
from scanweave.pipeline.batch.entry import Outcome, State
from scanweave.pipeline.batch.executor import Ending, Executor
from scanweave.pipeline.batch.job import Job, site_key_mark
from scanweave.pipeline.batch.settings import BatchSettings

if TYPE_CHECKING:
    from distributed import Client, Future

GPU = "GPU"
"""The resource of workers that have one (`dask worker --resources "GPU=1"`): where there are any, only they compute."""
CONNECT_S = 30.0


class DaskExecutor(Executor):
    """A study is a task, and a bounded number of them are on the cluster; a worker holds nothing but the network.

    Dask takes up the study of a worker that died on another one. Workers that have a GPU get all studies where there
    are any.

    Raises
    ------
    EnvironmentFailure
        SCHEDULER_UNREACHABLE; ENVIRONMENT_INCOMPLETE where Dask is missing, or workers have another version of
        scanweave or another site key.
    """

    def __init__(self, settings: BatchSettings, out: Path) -> None:
        self._lost = False
        self._endings: Queue[Ending] = Queue()
        self._timeout_s = settings.timeout_minutes * 60
        self._client = _client(settings)
        self._running: dict[str, Future] = {}
        try:
            self._check_workers()
            from scanweave.pipeline.batch.dask_worker import KeepSegmenter

            self._plugin = f"scanweave-{uuid.uuid4().hex}"
            self._client.register_plugin(KeepSegmenter(self._plugin, settings.segment, out))
            self._count_slots()
        except BaseException:
            self.close()
            raise

    def _check_workers(self) -> None:
        """Results must not depend on who computes them."""
        try:
            self._client.wait_for_workers(1, timeout=CONNECT_S)
            found = self._client.run(_who_are_you)
        except Exception as error:
            raise _unreachable(f"no worker of the cluster answers ({type(error).__name__})") from error
        here = _who_are_you()
        for name in here:
            others = sorted({str(answer.get(name)) for answer in found.values()} - {str(here[name])})
            if others:
                what = (
                    "the site key (set SCANWEAVE_SITE_KEY on all)" if name == "site_key" else f"scanweave {here[name]}"
                )
                raise EnvironmentFailure(Problem(Code.ENVIRONMENT_INCOMPLETE, f"workers of the cluster lack {what}"))

    def _count_slots(self) -> None:
        """Workers come and go: asked again as studies end."""
        workers = self._client.scheduler_info(n_workers=-1)["workers"].values()
        tagged = [worker for worker in workers if worker["resources"].get(GPU)]
        self._resources = {GPU: 1} if tagged else {}
        threads = sum(int(worker["resources"][GPU]) for worker in tagged) or len(workers)
        # None waits on the cluster: what is assigned to a worker that another study takes down would share the blame.
        self.slots = max(1, threads)

    def submit(self, job: Job) -> None:
        """As `Executor`."""
        from scanweave.pipeline.batch.dask_worker import do

        try:
            self._count_slots()
            future = self._client.submit(
                do, job, self._plugin, self._timeout_s, pure=False, resources=self._resources, retries=0
            )
        except Exception as error:  # Dask's own, of a client that has lost its scheduler
            raise _gone() from error
        self._running[job.entry.name] = future
        future.add_done_callback(partial(self._note, job))

    def _note(self, job: Job, future: Future) -> None:
        if self._running.pop(job.entry.name, None) is None:  # closed
            return
        if future.status == "finished":
            self._endings.put(Ending(job, future.result()))
            return
        if future.cancelled():  # by nobody here: the scheduler has gone, and if it is back it knows nothing of it
            self._lost = True
            return
        why = type(future.exception()).__name__
        words = f"every worker that tried it died, or took longer than {self._timeout_s / 60:g} minutes ({why})"
        self._endings.put(Ending(job, Outcome(State.FAILED, Code.CRASHED, words)))

    def ended(self, timeout_s: float) -> list[Ending]:
        """As `Executor`; EnvironmentFailure, SCHEDULER_UNREACHABLE, where the scheduler is gone."""
        if self._lost or self._client.status == "closed":
            raise _gone()
        found = []
        with suppress(Empty):
            found.append(self._endings.get(timeout=timeout_s))
            while True:
                found.append(self._endings.get_nowait())
        return found

    def close(self) -> None:
        """As `Executor`: studies that run there are cancelled, and go on only until they would answer."""
        futures = list(self._running.values())
        self._running.clear()
        cluster = self._client.cluster
        with suppress(Exception):  # of a scheduler that is gone
            self._client.cancel(futures, force=True)
        with suppress(Exception):  # what stopped the client from reaching it again comes up here once more
            self._client.close()
        if cluster is not None:
            cluster.close()


def _client(settings: BatchSettings) -> Client:
    try:
        from distributed import Client, LocalCluster
        from distributed.security import Security
    except ImportError as error:
        message = "--executor dask needs Dask: pip install 'scanweave[dask]'"
        raise EnvironmentFailure(Problem(Code.ENVIRONMENT_INCOMPLETE, message)) from error
    for name in ("distributed", "distributed.client"):  # Dask gives the second a level of its own
        logging.getLogger(name).setLevel(logging.CRITICAL)  # what matters of it has a code
    if settings.scheduler is None:
        local = LocalCluster(
            n_workers=settings.workers or thread_count(), threads_per_worker=1, processes=True, dashboard_address=None
        )
        return Client(local)
    security = None
    if settings.tls_ca or settings.tls_cert or settings.tls_key:
        files = {
            "tls_ca_file": settings.tls_ca,
            "tls_client_cert": settings.tls_cert,
            "tls_client_key": settings.tls_key,
        }
        given: dict[str, Any] = {name: str(path) for name, path in files.items() if path}
        security = Security(require_encryption=True, **given)
    try:
        return Client(settings.scheduler, security=security, timeout=CONNECT_S, set_as_default=False)
    except Exception as error:  # of sockets, TLS, addresses: each has its own
        raise _unreachable(f"no scheduler answers at {settings.scheduler} ({type(error).__name__})") from error


def _gone() -> EnvironmentFailure:
    return _unreachable("the scheduler has ended, or cannot be reached any more")


def _unreachable(message: str) -> EnvironmentFailure:
    return EnvironmentFailure(Problem(Code.SCHEDULER_UNREACHABLE, message))


def _who_are_you() -> Mapping[str, str]:
    return {"scanweave": __version__, "site_key": site_key_mark()}
