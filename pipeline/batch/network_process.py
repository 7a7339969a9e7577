"""The network in a process of its own, loaded once, which computes one volume after the other for those that ask."""

from __future__ import annotations

import os
import secrets
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from multiprocessing import AuthenticationError, get_context
from multiprocessing.connection import Client, Connection, Listener, answer_challenge, deliver_challenge
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from scanweave.errors import Code, EnvironmentFailure, Problem, ScanweaveError
from scanweave.pipeline.batch.guard import deaf_children, guard_process
from scanweave.pipeline.computed import Computed, Heard, VolumeNetwork
from scanweave.pipeline.segment_settings import SegmentSettings
from scanweave.transforms.image import Image

if TYPE_CHECKING:
    import ctypes

Shared: TypeAlias = "ctypes.Array[ctypes.c_double]"
START_S = 120.0
"""Until the process answers: PyTorch and a GPU take their time on a cold disk."""
RETRY_S = 0.1
SHORT_LIFE_S = 60.0
MOST_SHORT_LIVES = 6
PULSE_S, NO_PULSE_S = 1.0, 30.0
"""The process shows that it lives; one that has not for so long is stopped, or stuck."""
_FIRST, _LAST, _BUSY, _CURRENT, _PULSE = range(5)
"""Of the figures that the process shares, on the clock of `time.monotonic`: when the first volume was begun and the
last one done, seconds at work, when the present one was begun (0 for none), the last sign of life."""


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
        self._shared: Shared = get_context("spawn").RawArray("d", 5)
        self._arguments = (settings, self.address, memory, temporary, dict(environment), self._shared)
        self._process: SpawnProcess | None = None
        self._begun, self._short_lives = float("-inf"), 0
        self.keep_alive()

    def keep_alive(self) -> None:
        """Start the process where there is none; EnvironmentFailure, CRASHED, where it dies again and again."""
        if self._process is not None and self._process.is_alive():
            return
        self._note_death()
        self._shared[_CURRENT] = self._shared[_PULSE] = 0.0
        self._process = get_context("spawn").Process(target=_serve, args=self._arguments, daemon=True)
        with deaf_children():
            self._process.start()

    def _note_death(self) -> None:
        """A study that kills it is no reason to give up; that it cannot live at all is."""
        now = time.monotonic()
        self._short_lives = 0 if now - self._begun > SHORT_LIFE_S else self._short_lives + 1
        self._begun = now
        if self._short_lives > MOST_SHORT_LIVES:
            message = (
                f"the process of the network died {self._short_lives} times within {SHORT_LIFE_S:g} s of its start"
            )
            raise EnvironmentFailure(Problem(Code.CRASHED, message))

    @property
    def busy_s(self) -> float:
        """Seconds at work, of all processes so far."""
        return float(self._shared[_BUSY])

    @property
    def span_s(self) -> float:
        """Seconds from the first volume that was begun to the last that was done."""
        return max(float(self._shared[_LAST] - self._shared[_FIRST]), 0.0)

    def is_stuck(self, longest_s: float) -> bool:
        """Whether it has computed one volume for longer than that, or shows no sign of life."""
        now, current, pulse = time.monotonic(), self._shared[_CURRENT], self._shared[_PULSE]
        return (current > 0 and now - current > longest_s) or (pulse > 0 and now - pulse > min(NO_PULSE_S, longest_s))

    def end(self) -> None:
        """End the process; `keep_alive` starts another."""
        if self._process is not None:
            self._process.kill()
            self._process.join()


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
    shared: Shared,
) -> None:
    """The process: a thread for each that asks, one volume at a time."""
    guard_process(memory, temporary)
    os.environ.update(environment)
    threading.Thread(target=_show_life, args=(shared,), daemon=True).start()
    server = _Server(settings, shared)
    with Listener(address.socket, "AF_UNIX", backlog=64) as listener:
        while True:
            threading.Thread(target=server.answer, args=(listener.accept(), address.word), daemon=True).start()


class _Server:
    def __init__(self, settings: SegmentSettings, shared: Shared) -> None:
        self._turn = threading.Lock()
        self._shared = shared
        self._inference: Any = self._loaded(settings)

    @staticmethod
    def _loaded(settings: SegmentSettings) -> Any:
        """What computes, or the refusal that each who asks will hear."""
        from scanweave.pipeline.segmenter import Segmenter

        try:
            return Segmenter(settings).inference
        except ScanweaveError as refusal:
            return refusal

    def answer(self, connection: Connection, word: bytes) -> None:
        """Until whoever asks goes away. Anybody on this machine may knock: the word comes before anything is unpickled,
        and who keeps silent holds up this thread alone."""
        with connection, suppress(OSError, EOFError, AuthenticationError):
            deliver_challenge(connection, word)
            answer_challenge(connection, word)
            while True:
                asked = connection.recv()
                with self._turn:
                    answer = self._computed(asked)
                connection.send(answer)

    def _computed(self, array: np.ndarray) -> Computed | BaseException:
        if isinstance(self._inference, ScanweaveError):
            return self._inference
        shared, begin = self._shared, time.monotonic()
        shared[_CURRENT], shared[_FIRST] = begin, shared[_FIRST] or begin
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
            shared[_LAST], shared[_CURRENT] = time.monotonic(), 0.0
            shared[_BUSY] += shared[_LAST] - begin


def _show_life(shared: Shared) -> None:
    while True:
        shared[_PULSE] = time.monotonic()
        time.sleep(PULSE_S)
