"""What comes in, by whichever door: stored, or refused with a status, a line in the log and a count."""

from __future__ import annotations

from enum import IntEnum

from scanweave.errors import Code, EnvironmentFailure
from scanweave.pipeline.node.inbox import Inbox, NotStorable
from scanweave.pipeline.node.metrics import NodeMetrics
from scanweave.pipeline.node.node_log import NodeLog

NO_ROOM = "disk nearly full"


class Status(IntEnum):
    """Of C-STORE (PS3.4 B.2.3), and the failure reasons of STOW-RS."""

    SUCCESS = 0x0000
    OUT_OF_RESOURCES = 0xA700
    NOT_OF_ITS_CLASS = 0xA900
    NOT_UNDERSTOOD = 0xC000


class Intake:
    """Takes instances for `inbox`; by any number of threads."""

    def __init__(self, inbox: Inbox, metrics: NodeMetrics, log: NodeLog) -> None:
        self.inbox, self.metrics, self.log = inbox, metrics, log

    @property
    def has_room(self) -> bool:
        """Whether anything is taken at present."""
        return self.inbox.has_room

    def take(self, content: bytes, sender: str) -> Status:
        """Keep a DICOM file (PS3.10) of `sender`; with SUCCESS it is safe. Raises nothing."""
        if not self.has_room:
            self.log.error(NO_ROOM, sender=sender, free_gb=round(self.inbox.free_gb, 2))
            self.metrics.refused(NO_ROOM)
            return Status.OUT_OF_RESOURCES
        try:
            new = self.inbox.store(content, sender)
        except NotStorable as refusal:
            self.log.audit("refused", sender=sender, reason=str(refusal))
            self.metrics.refused("not storable")
            return Status.NOT_OF_ITS_CLASS if refusal.understood else Status.NOT_UNDERSTOOD
        except EnvironmentFailure as failure:
            self.log.error(failure.problems[0].message, code=failure.code, sender=sender)
            self.metrics.refused(failure.code)
            return Status.OUT_OF_RESOURCES
        except Exception as defect:
            self.log.error(f"a defect of scanweave ({type(defect).__name__})", code=Code.INTERNAL, sender=sender)
            self.metrics.refused(Code.INTERNAL)
            return Status.NOT_UNDERSTOOD
        self.metrics.received(new=new)
        return Status.SUCCESS
