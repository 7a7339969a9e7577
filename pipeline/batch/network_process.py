"""The network in a process of its own, loaded once, which computes one volume after the other for those that ask."""

from __future__ import annotations

import os
import secrets
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from multiprocessing import get_context
from multiprocessing.connection import Client, Connection, Listener
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any

import numpy as np

from scanweave.errors import Code, EnvironmentFailure, Problem, ScanweaveError
from scanweave.pipeline.batch.guard import deaf_children, guard_process
from scanweave.pipeline.computed import Computed, Heard, VolumeNetwork
from scanweave.pipeline.segment_settings import SegmentSettings
from scanweave.transforms.image import Image

START_S = 120.0
"""Until the process answers: PyTorch and a GPU take their time on a cold disk."""
RETRY_S = 0.1
SHORT_LIFE_S = 60.0
MOST_DEATHS = 6
_BUSY = "busy"


@dataclass(frozen=True)
class NetworkAddress:
    """Where the process listens, and the word that it wants to hear.

    The socket has a name and no file (unix(7), "abstract"): a path may have 108 letters at most, and TMPDIR has more.
    """

    socket: str
    word: bytes = field(repr=False)

    @classmethod
    def new(cls) -> NetworkAddress:
        """One that nobody has."""
        return cls(f"\0scanweave-{os.getpid()}-{secrets.token_hex(8)}", secrets.token_bytes(32))


class RemoteNetwork(VolumeNetwork):
    """The network at `address`: arrays go there and back, some 30 MB a volume."""

    def __init__(self, address: NetworkAddress) -> None:
        self.address = address
        self._connection: Connection | None = None

    def __call__(self, image: Image, progress: Heard | None = None) -> Computed:
        """As `VolumeNetwork`; EnvironmentFailure, CRASHED, where the process died over it."""
        try:
            if self._connection is None:
                self._connection = _connected(self.address, START_S)
            self._connection.send(np.ascontiguousarray(image.array))
            answer = self._connection.recv()
        except (OSError, EOFError) as error:
            self._connection = None
            message = "the process of the network ended while it computed this study, or before"
            raise EnvironmentFailure(Problem(Code.CRASHED, message)) from error
        if isinstance(answer, ScanweaveError):
            raise answer
        if isinstance(answer, MemoryError):
            raise answer
        if isinstance(answer, BaseException):
            raise RuntimeError("the network failed") from answer
        computed: Computed = answer
        return replace(computed, probabilities=image.with_array(computed.probabilities.array))


class NetworkProcess:
    """Starts the process, starts it again when it has died, and ends it."""

    def __init__(
        self, settings: SegmentSettings, memory: int | None, temporary: Path, environment: Mapping[str, str]
    ) -> None:
        self.address = NetworkAddress.new()
        self._arguments = (settings, self.address, memory, temporary, dict(environment))
        self._process: SpawnProcess | None = None
        self._ending = False
        self._begun, self._deaths = float("-inf"), list[float]()
        self._started = threading.Lock()
        self.keep_alive()

    def keep_alive(self) -> None:
        """Start the process where there is none; EnvironmentFailure, CRASHED, where it dies again and again."""
        with self._started:
            if self._ending or (self._process is not None and self._process.is_alive()):
                return
            self._note_death()
            self._process = get_context("spawn").Process(target=_serve, args=self._arguments, daemon=True)
            with deaf_children():
                self._process.start()

    def _note_death(self) -> None:
        """A study that kills it is no reason to give up; that it cannot live at all is."""
        now = time.monotonic()
        self._deaths = [] if now - self._begun > SHORT_LIFE_S else [*self._deaths, now]
        self._begun = now
        if len(self._deaths) > MOST_DEATHS:
            message = f"the process of the network died {MOST_DEATHS} times within {SHORT_LIFE_S:g} s of its start"
            raise EnvironmentFailure(Problem(Code.CRASHED, message))

    def busy(self) -> dict[str, float] | None:
        """`busy_s` of `span_s` between the first volume and the last, `current_s` since one was begun that is not done;
        None where it cannot say."""
        try:
            with _connected(self.address, RETRY_S) as connection:
                connection.send(_BUSY)
                found: dict[str, float] = connection.recv()
                return found
        except (OSError, EOFError):
            return None

    def end(self) -> None:
        """End the process; `keep_alive` starts another."""
        with self._started:
            if self._process is not None:
                self._process.kill()
                self._process.join()

    def close(self) -> None:
        """End the process for good."""
        self._ending = True
        self.end()


def _connected(address: NetworkAddress, patience_s: float) -> Connection:
    deadline = time.monotonic() + patience_s
    while True:
        try:
            return Client(address.socket, "AF_UNIX", authkey=address.word)
        except (FileNotFoundError, ConnectionRefusedError):
            if time.monotonic() > deadline:
                raise
            time.sleep(RETRY_S)


def _serve(
    settings: SegmentSettings,
    address: NetworkAddress,
    memory: int | None,
    temporary: Path,
    environment: Mapping[str, str],
) -> None:
    """The process: a thread for each that asks, one volume at a time."""
    guard_process(memory, temporary, environment)
    server = _Server(settings)
    with Listener(address.socket, "AF_UNIX", backlog=64, authkey=address.word) as listener:
        while True:
            try:
                connection = listener.accept()
            except (OSError, EOFError):  # somebody who went away before a word was said
                continue
            threading.Thread(target=server.answer, args=(connection,), daemon=True).start()


class _Server:
    def __init__(self, settings: SegmentSettings) -> None:
        self._turn = threading.Lock()
        self._first: float | None = None
        self._busy_s, self._last = 0.0, 0.0
        self._current: float | None = None
        self._inference: Any = self._loaded(settings)

    @staticmethod
    def _loaded(settings: SegmentSettings) -> Any:
        """What computes, or the refusal that each who asks will hear."""
        from scanweave.pipeline.segmenter import Segmenter

        try:
            return Segmenter(settings).inference
        except ScanweaveError as refusal:
            return refusal

    def answer(self, connection: Connection) -> None:
        with connection:
            while True:
                try:
                    asked = connection.recv()
                    if isinstance(asked, str):
                        connection.send(self._told())
                        continue
                    with self._turn:
                        answer = self._computed(asked)
                    connection.send(answer)
                except (OSError, EOFError):
                    return

    def _computed(self, array: np.ndarray) -> Computed | BaseException:
        if isinstance(self._inference, ScanweaveError):
            return self._inference
        self._current = begin = time.monotonic()
        self._first = begin if self._first is None else self._first
        try:
            computed: Computed = self._inference(Image(array, np.eye(4)), None)
            return computed
        except ScanweaveError as refusal:
            return refusal
        except MemoryError:
            return MemoryError()
        except Exception as error:
            return RuntimeError(f"{type(error).__name__}: {error}")
        finally:
            self._current, self._last = None, time.monotonic()
            self._busy_s += self._last - begin

    def _told(self) -> dict[str, float]:
        span = self._last - self._first if self._first is not None else 0.0
        current = self._current
        return {"busy_s": self._busy_s, "span_s": span, "current_s": time.monotonic() - current if current else 0.0}
