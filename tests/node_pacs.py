"""A PACS on loopback that does what the test says: of pynetdicom, for what no real one does at will."""

from __future__ import annotations

import threading
from typing import Any

import pydicom
from pynetdicom import AE, build_role, evt
from pynetdicom.sop_class import StorageCommitmentPushModel  # type: ignore[attr-defined]

LOOPBACK = "127.0.0.1"
COMMITMENT_INSTANCE = "1.2.840.10008.1.20.1.1"


class Pacs:
    """A storage SCP; `commitment`: refuses (the request), silent, fails (keeps nothing, as it tells `node_port`)."""

    def __init__(self, classes: list[str], status: int = 0, commitment: str | None = None) -> None:
        self.status, self.commitment, self.got = status, commitment, set[str]()
        self.node_port = 0
        self.entity = AE("PACS")
        for uid in [*classes, *([StorageCommitmentPushModel] if commitment else [])]:
            self.entity.add_supported_context(uid)
        self.server: Any = None
        self.port = 0

    def start(self) -> None:
        handlers = [(evt.EVT_C_STORE, self._store), (evt.EVT_N_ACTION, self._asked)]
        self.server = self.entity.start_server((LOOPBACK, self.port), block=False, evt_handlers=handlers)
        self.port = self.server.server_address[1]

    def stop(self) -> None:
        self.entity.shutdown()

    def destination(self, **more: Any) -> dict[str, Any]:
        """It, in a node's configuration."""
        known = {"name": "pacs", "kind": "dicom", "ae_title": "PACS", "host": LOOPBACK, "port": self.port}
        return {**known, "commitment": self.commitment is not None, **more}

    def _store(self, event: evt.Event) -> int:
        if not self.status:
            self.got.add(event.request.AffectedSOPInstanceUID)
        return self.status

    def _asked(self, event: evt.Event) -> tuple[int, None]:
        if self.commitment == "fails":
            threading.Thread(target=self._fail, args=(event.action_information,), daemon=True).start()
        return (0x0122 if self.commitment == "refuses" else 0x0000), None

    def _fail(self, asked: pydicom.Dataset) -> None:
        """N-EVENT-REPORT, event type 2 (PS3.4 J.3.3), over an association of its own."""
        caller = AE("PACS")
        caller.add_requested_context(StorageCommitmentPushModel)
        roles = [build_role(StorageCommitmentPushModel, scp_role=True)]
        association = caller.associate(LOOPBACK, self.node_port, ae_title="SCANWEAVE", ext_neg=roles)
        for item in asked.ReferencedSOPSequence:
            item.FailureReason = 0x0112
        told = pydicom.Dataset()
        told.TransactionUID, told.FailedSOPSequence = asked.TransactionUID, asked.ReferencedSOPSequence
        association.send_n_event_report(told, 2, StorageCommitmentPushModel, COMMITMENT_INSTANCE)
        association.release()
