"""One batch at a time on one OUT: a lock that the system lets go of when its holder dies, and a name in the ledger."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from filelock import FileLock, Timeout

from scanweave.errors import Code, EnvironmentFailure, Problem
from scanweave.pipeline.batch.batch_file import batch_refusals
from scanweave.pipeline.batch.ledger import LEASE_S, Ledger
from scanweave.pipeline.progress import Progress, Stage

LOCK_FILE = "ledger.lock"
AnyLedger = TypeVar("AnyLedger", bound=Ledger)
_OWNER = "owner"
RENEW_S = 20.0
"""A sixth of a lease."""


@contextmanager
def locked(out: Path) -> Iterator[None]:
    """Hold `out` for this process; EnvironmentFailure, OUTPUT_IN_USE, where another batch of this machine does."""
    with batch_refusals(out, "the results"):
        out.mkdir(parents=True, exist_ok=True)
        lock = FileLock(out / LOCK_FILE, timeout=0, mode=0o644)
        try:
            lock.acquire()
        except Timeout as error:
            raise _in_use(out, "another batch") from error
    try:
        yield
    finally:
        lock.release()


def become_owner(ledger: Ledger, out: Path) -> None:
    """Write this process into the ledger.

    The lock says all where both run on one machine; on a disk that several share, a name that was renewed within
    `LEASE_S` is in use.
    """
    held = json.loads(ledger.fact(_OWNER) or "{}")
    if held and held["host"] != socket.gethostname() and held["at"] + LEASE_S > time.time():
        raise _in_use(out, f"a batch on {held['host']}")
    renew_ownership(ledger)


@contextmanager
def owned(ledger: AnyLedger, out: Path) -> Iterator[AnyLedger]:
    """`ledger`, this process's until the block ends, and closed then."""
    try:
        become_owner(ledger, out)
        yield ledger
        give_up_ownership(ledger)
    finally:
        ledger.close()


def renew_ownership(ledger: Ledger) -> None:
    """Say that this process still runs."""
    ledger.store_fact(_OWNER, json.dumps({"host": socket.gethostname(), "pid": os.getpid(), "at": time.time()}))


def renewing(progress: Progress, ledger: Ledger) -> Progress:
    """`progress` that renews the ownership now and then: files may be looked at for longer than a lease."""
    renewed = time.monotonic()

    def heard(stage: Stage) -> None:
        nonlocal renewed
        if time.monotonic() - renewed > RENEW_S:
            renewed = time.monotonic()
            renew_ownership(ledger)
        progress(stage)

    return heard


def give_up_ownership(ledger: Ledger) -> None:
    """Nobody runs."""
    ledger.store_fact(_OWNER, "{}")


def _in_use(out: Path, whose: str) -> EnvironmentFailure:
    return EnvironmentFailure(
        Problem(Code.OUTPUT_IN_USE, f"{whose} works on this folder; wait for it, or stop it", out.name)
    )
