"""How a batch is run: how each study is segmented, and by whom."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

from scanweave.errors import Code, Problem, UsageError
from scanweave.pipeline.network_settings import expanded
from scanweave.pipeline.segment_settings import SegmentSettings

LOCAL, DASK = "local", "dask"
EXECUTORS = (LOCAL, DASK)
TIMEOUT_MINUTES = 30.0


@dataclass(frozen=True)
class BatchSettings:
    """How a batch is run.

    Attributes
    ----------
    segment
        How each study is segmented; `overwrite` replaces results that no batch wrote.
    executor
        "local" (processes of this machine) or "dask" (a cluster).
    workers
        Processes that read, register and write; None is the executor's own choice. Not of an existing cluster.
    scheduler
        The address of an existing Dask cluster's scheduler; None starts one on this machine.
    tls_ca, tls_cert, tls_key
        PEM files for a scheduler at tls://.
    timeout_minutes
        That one study may take.
    memory_gb
        That one process may hold; None is an equal share of what is free. Of a cluster the workers' own limits count.
    retry_failed, retry_refused
        Whether studies that ended so before are tried again.
    """

    segment: SegmentSettings = field(default_factory=SegmentSettings)
    executor: str = LOCAL
    workers: int | None = None
    scheduler: str | None = None
    tls_ca: Path | None = None
    tls_cert: Path | None = None
    tls_key: Path | None = None
    timeout_minutes: float = TIMEOUT_MINUTES
    memory_gb: float | None = None
    retry_failed: bool = False
    retry_refused: bool = False

    def __post_init__(self) -> None:
        """USAGE for what contradicts itself."""
        cluster = (self.scheduler, self.tls_ca, self.tls_cert, self.tls_key)
        wrong = {
            f"--executor: expected one of {', '.join(EXECUTORS)}, got {self.executor!r}": self.executor
            not in EXECUTORS,
            "--scheduler and --tls-.. need --executor dask": self.executor != DASK and any(cluster),
            "--tls-.. needs --scheduler": self.scheduler is None and any(cluster),
            "--workers is not for a cluster that is there already": self.scheduler is not None
            and self.workers is not None,
            "--workers: expected at least 1": self.workers is not None and self.workers < 1,
            "--timeout: expected minutes above 0": not self.timeout_minutes > 0,
            "--memory: expected GB above 0": self.memory_gb is not None and not self.memory_gb > 0,
        }
        if problems := [Problem(Code.USAGE, message) for message, is_wrong in wrong.items() if is_wrong]:
            raise UsageError(problems)

    @property
    def of_results(self) -> dict[str, str]:
        """What results depend on: a ledger is for one choice of it."""
        settings = self.segment
        outputs = settings.outputs
        return {
            "bundle": expanded(settings.bundle),
            "weights": "" if settings.weights is None else _digest(Path(expanded(settings.weights))),
            "precision": settings.precision,
            "components": settings.components or "",
            "outputs": outputs if isinstance(outputs, str) else ",".join(outputs or ()),
            "seg_all_frames": str(settings.seg_all_frames),
            "phi": str(settings.phi),
        }


def _digest(path: Path) -> str:
    """Of the weights' bytes; a file that cannot be read is refused when it is loaded."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return str(path)
