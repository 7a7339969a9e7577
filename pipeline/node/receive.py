"""The node's ear: a DICOM storage and verification SCP (PS3.4 B and A)."""

from __future__ import annotations

import threading
import time
from typing import Any

from pynetdicom import AE, ALL_TRANSFER_SYNTAXES, evt
from pynetdicom.presentation import PresentationContext, build_context
from pynetdicom.sop_class import StorageCommitmentPushModel, Verification  # type: ignore[attr-defined]

from scanweave.errors import Code, EnvironmentFailure, Problem
from scanweave.pipeline.node.commitment import Commitments
from scanweave.pipeline.node.config import Receive
from scanweave.pipeline.node.inbox import IMAGE_CLASSES, OTHER_CLASSES, Inbox, NotStorable
from scanweave.pipeline.node.metrics import NodeMetrics
from scanweave.pipeline.node.node_log import NodeLog
from scanweave.pipeline.node.tls import server_context

SUCCESS, OUT_OF_RESOURCES, NOT_OF_ITS_CLASS, NOT_UNDERSTOOD = 0x0000, 0xA700, 0xA900, 0xC000
"""Of C-STORE (PS3.4 B.2.3)."""
LOCAL_LIMIT = (0x02, 0x03, 0x02)
"""A-ASSOCIATE-RJ: transient, by the provider, local limit exceeded (PS3.8 9.3.4)."""
LOOK_S = 0.1


class Receiver:
    """Listens from `start` to `stop`; what is acknowledged lies in the inbox."""

    def __init__(
        self,
        config: Receive,
        inbox: Inbox,
        commitments: Commitments,
        metrics: NodeMetrics,
        log: NodeLog,
        stopping: threading.Event,
    ) -> None:
        self.config, self.inbox, self.metrics, self.log = config, inbox, metrics, log
        self.commitments = commitments
        self.stopping = stopping
        self._entity = AE(config.ae_title)
        self._entity.maximum_associations = config.max_associations
        self._entity.require_called_aet = True
        self._entity.require_calling_aet = list(config.callers)
        self._entity.network_timeout = config.idle_s
        self._entity.supported_contexts = [
            build_context(Verification),
            _answered(StorageCommitmentPushModel),
            *(build_context(uid, ALL_TRANSFER_SYNTAXES) for uid in (*IMAGE_CLASSES, *OTHER_CLASSES)),
        ]
        self._server: Any = None

    @property
    def associations(self) -> int:
        """That are open now."""
        return sum(association.is_acceptor for association in self._entity.active_associations)

    @property
    def port(self) -> int:
        """Where it listens; the system's choice where the configuration says 0."""
        return int(self._server.server_address[1])

    def start(self) -> None:
        """Listen; EnvironmentFailure, LISTEN_FAILED, where that is not possible."""
        tls = server_context(self.config.tls) if self.config.tls else None
        handlers: list[Any] = [
            (evt.EVT_C_STORE, self._store),
            (evt.EVT_REQUESTED, self._requested),
            (evt.EVT_REJECTED, self._rejected),
            *self.commitments.handlers,
        ]
        try:
            self._server = self._entity.start_server(
                (self.config.host, self.config.port), block=False, evt_handlers=handlers, ssl_context=tls
            )
        except OSError as error:
            message = f"cannot listen for DICOM at {self.config.host}:{self.config.port} ({error.strerror})"
            raise EnvironmentFailure(Problem(Code.LISTEN_FAILED, message)) from error

    def stop(self, patience_s: float) -> None:
        """Associations that are open may end what they have begun; since `stopping` was set none was taken."""
        deadline = time.monotonic() + patience_s
        while self.associations and time.monotonic() < deadline:
            time.sleep(LOOK_S)
        self._entity.shutdown()

    def _requested(self, event: evt.Event) -> None:
        association = event.assoc
        if self.stopping.is_set() or not self.inbox.has_room:
            association.acse.send_reject(*LOCAL_LIMIT)
            association.kill()
            self.log.audit(
                "rejected", sender=_sender(event), reason="stopping" if self.stopping.is_set() else "disk nearly full"
            )
        elif (request := association.requestor.primitive) and request.called_ae_title in self.config.called:
            association.acceptor.ae_title = request.called_ae_title  # one server, several names: pynetdicom knows one

    def _rejected(self, event: evt.Event) -> None:
        """By pynetdicom itself: a title that is not allowed, or too many at once."""
        self.log.audit("rejected", sender=_sender(event))

    def _store(self, event: evt.Event) -> int:
        sender = _sender(event)
        if not self.inbox.has_room:
            self.log.error("disk nearly full", sender=sender, free_gb=round(self.inbox.free_gb, 2))
            self.metrics.refused("disk nearly full")
            return OUT_OF_RESOURCES
        try:
            stored = self.inbox.store(event.encoded_dataset(), sender)
        except NotStorable as refusal:
            self.log.audit("refused", sender=sender, reason=str(refusal))
            self.metrics.refused("not storable")
            return NOT_OF_ITS_CLASS
        except EnvironmentFailure as failure:
            self.log.error(failure.problems[0].message, code=failure.code, sender=sender)
            self.metrics.refused(failure.code)
            return OUT_OF_RESOURCES
        except Exception as defect:
            self.log.error(f"a defect of scanweave ({type(defect).__name__})", code=Code.INTERNAL, sender=sender)
            self.metrics.refused(Code.INTERNAL)
            return NOT_UNDERSTOOD
        self.metrics.received(new=stored.new)
        return SUCCESS


def _answered(sop_class: str) -> PresentationContext:
    """Of a service in which whoever calls us is the provider (PS3.7 D.3.3.4)."""
    context = build_context(sop_class)
    context.scu_role, context.scp_role = True, True
    return context


def _sender(event: evt.Event) -> str:
    """Title and address: of a machine, not of a patient."""
    requestor = event.assoc.requestor
    return f"{requestor.ae_title}@{requestor.address}"
