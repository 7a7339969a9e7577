"""What goes wrong in a hospital, each in a thread of its own until it is calm."""

from __future__ import annotations

import os
import random
import signal
import socket
import threading
from contextlib import suppress
from pathlib import Path

from hospital_rooms import Hospital
from node_rooms import CALLER, LOOPBACK, TITLE
from pynetdicom import AE
from pynetdicom.sop_class import MRImageStorage  # type: ignore[attr-defined]

STUDIES_OFTEN = 550


class Trouble(threading.Thread):
    """Happens again and again."""

    pause_s = (1.0, 4.0)
    stretched = False
    """Whether it comes more seldom where there are many studies, and so as long as there are any."""

    def __init__(self, place: Hospital, calm: threading.Event, seed: int) -> None:
        super().__init__(name=type(self).__name__, daemon=True)
        self.place, self.calm = place, calm
        self.chance = random.Random(f"{seed} {self.name}")
        self.times = 0

    def run(self) -> None:
        """Until it is calm."""
        stretch = max(1.0, len(self.place.patients) / STUDIES_OFTEN) if self.stretched else 1.0
        while not self.calm.wait(stretch * self.chance.uniform(*self.pause_s)):
            with suppress(OSError, AssertionError):
                self.happen()
                self.times += 1

    def happen(self) -> None:
        """Once."""
        raise NotImplementedError


class NodeKilled(Trouble):
    """kill -9, alone or with its workers, and started again."""

    pause_s = (1.0, 12.0)
    stretched = True

    def happen(self) -> None:
        """As `Trouble`."""
        with self.place.turn:
            process = self.place.node.process
            if process is None or process.poll() is not None:
                return
            os.killpg(process.pid, signal.SIGKILL) if self.chance.random() < 0.5 else process.kill()
            process.wait()
            self.place.kills += 1
            self.place.ensure_running()


class WorkerKilled(Trouble):
    """kill -9 of one of the node's processes."""

    pause_s = (3.0, 15.0)
    stretched = True

    def happen(self) -> None:
        """As `Trouble`."""
        process = self.place.node.process
        if process is None:
            return
        children = [
            int(child)
            for task in Path(f"/proc/{process.pid}/task").iterdir()
            for child in (task / "children").read_text().split()
        ]
        if children:
            os.kill(self.chance.choice(children), signal.SIGKILL)
            self.place.kills += 1


class Aborted(Trouble):
    """An association that ends in the middle of an instance, and one that is aborted between two."""

    def happen(self) -> None:
        """As `Trouble`."""
        files = self.chance.choice(self.place.patients)
        entity = AE(CALLER)
        entity.add_requested_context(MRImageStorage)
        entity.acse_timeout = entity.dimse_timeout = 5
        association = entity.associate(LOOPBACK, self.place.node.dicom_port, ae_title=TITLE)
        if not association.is_established:
            return
        with suppress(RuntimeError, ValueError):
            association.send_c_store(files[0])
        connection = association.dul.socket.socket if association.dul.socket else None
        if connection is not None and self.chance.random() < 0.5:
            connection.sendall(b"\x04\x00\x00\x00\x10\x00" + b"half of a P-DATA-TF")
            connection.shutdown(socket.SHUT_RDWR)
        association.abort()


class SentAgain(Trouble):
    """Two studies, slice by slice in turn, over one association: whatever of them is there already changes nothing."""

    pause_s = (2.0, 6.0)

    def happen(self) -> None:
        """As `Trouble`."""
        one, other = self.chance.sample(self.place.patients, 2)
        self.place.node.store([file for pair in zip(one, other, strict=False) for file in pair])


class PacsDown(Trouble):
    """The line to the PACS is cut in the middle of a sentence, and comes back; now and then only after a minute."""

    pause_s = (4.0, 10.0)
    minute_every = 8

    def happen(self) -> None:
        """As `Trouble`."""
        self.place.line.hang_up()
        long = self.times % self.minute_every == self.minute_every - 1
        self.calm.wait(60.0 if long else self.chance.uniform(2.0, 8.0))
        self.place.line.cut.clear()


class DiskFull(Trouble):
    """The node's disk is small and fills; when it has said so it grows, after a while."""

    pause_s = (5.0, 8.0)
    seen = 0
    """How often it had said so when it last grew."""

    def happen(self) -> None:
        """As `Trouble`."""
        assert self.place.disk is not None
        if self.place.times_without_room() > self.seen:
            self.place.disk.grow(self.place.disk.megabytes / 4)
            self.seen = self.place.times_without_room()


TROUBLES = (NodeKilled, WorkerKilled, Aborted, SentAgain, PacsDown)
