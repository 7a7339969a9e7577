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
from scanweave.pipeline.node.inbox import IMAGE_CLASSES, OTHER_CLASSES
from scanweave.pipeline.node.intake import NO_ROOM, Intake
from scanweave.pipeline.node.no_delay import PROMPT
from scanweave.pipeline.node.node_log import NodeLog
from scanweave.pipeline.node.tls import server_context

LOCAL_LIMIT = (0x02, 0x03, 0x02)
"""A-ASSOCIATE-RJ: transient, by the provider, local limit exceeded (PS3.8 9.3.4)."""
LOOK_S = 0.1


class Receiver:
    """Listens from `start` to `stop`; what is acknowledged lies in the inbox."""

    def __init__(
        self,
        config: Receive,
        intake: Intake,
        commitments: Commitments,
        log: NodeLog,
        stopping: threading.Event,
    ) -> None:
        self.config, self.intake, self.log = config, intake, log
        self.commitments, self.stopping = commitments, stopping
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
            *PROMPT,
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
        if self.stopping.is_set() or not self.intake.has_room:
            association.acse.send_reject(*LOCAL_LIMIT)
            association.kill()
            reason = "stopping" if self.stopping.is_set() else NO_ROOM
            self.log.audit("rejected", sender=_sender(event), reason=reason)
        elif (request := association.requestor.primitive) and request.called_ae_title in self.config.called:
            association.acceptor.ae_title = request.called_ae_title  # one server, several names: pynetdicom knows one

    def _rejected(self, event: evt.Event) -> None:
        """By pynetdicom itself: a title that is not allowed, or too many at once."""
        self.log.audit("rejected", sender=_sender(event))

    def _store(self, event: evt.Event) -> int:
        return self.intake.take(event.encoded_dataset(), _sender(event))


def _answered(sop_class: str) -> PresentationContext:
    """Of a service in which whoever calls us is the provider (PS3.7 D.3.3.4)."""
    context = build_context(sop_class)
    context.scu_role, context.scp_role = True, True
    return context


def _sender(event: evt.Event) -> str:
    """Title and address: of a machine, not of a patient."""
    requestor = event.assoc.requestor
    return f"{requestor.ae_title}@{requestor.address}"
