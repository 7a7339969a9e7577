"""Results go out by C-STORE (PS3.4 B), and their receiver may be asked to commit to keep them (PS3.4 J)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pydicom
from pynetdicom import AE, Association
from pynetdicom.presentation import PresentationContext, build_context
from pynetdicom.sop_class import StorageCommitmentPushModel, Verification  # type: ignore[attr-defined]

from scanweave.pipeline.node.config import DicomDestination
from scanweave.pipeline.node.no_delay import PROMPT
from scanweave.pipeline.node.not_delivered import NotDelivered
from scanweave.pipeline.node.tls import client_context

TIMEOUT_S = 60.0
WARNINGS = frozenset({0xB000, 0xB006, 0xB007})
"""Stored, but changed (PS3.4 table B.2-1)."""
COMMITMENT_INSTANCE = "1.2.840.10008.1.20.1.1"
"""Of Storage Commitment Push Model, well known (PS3.4 J.3.5)."""


@dataclass(frozen=True)
class SentFile:
    """What a destination has acknowledged."""

    sop_class: str
    instance: str


def send(files: Sequence[Path], destination: DicomDestination, own_title: str) -> list[SentFile]:
    """Send `files` over one association.

    Raises
    ------
    NotDelivered
        The destination cannot be reached, takes no association or not this kind of instance, or refuses one: some may
        be there already, and come again with the next attempt under the same UIDs.
    """
    headers = [pydicom.dcmread(file, stop_before_pixels=True, specific_tags=["SOPClassUID", "SOPInstanceUID"])
               for file in files]  # fmt: skip
    wanted = {(header.SOPClassUID, header.file_meta.TransferSyntaxUID) for header in headers}
    contexts = [build_context(sop_class, syntax) for sop_class, syntax in sorted(wanted)]
    with associated(destination, own_title, contexts) as association:
        accepted = {(context.abstract_syntax, context.transfer_syntax[0]) for context in association.accepted_contexts}
        if refused := sorted({sop_class.name for sop_class, syntax in wanted if (sop_class, syntax) not in accepted}):
            raise NotDelivered(f"it does not take {', '.join(refused)}")
        for file in files:
            _store(association, file)
    return [SentFile(str(header.SOPClassUID), str(header.SOPInstanceUID)) for header in headers]


def echo(destination: DicomDestination, own_title: str) -> None:
    """C-ECHO, and whether it would take what results are; NotDelivered says why not."""
    kinds = (pydicom.uid.SegmentationStorage, pydicom.uid.Comprehensive3DSRStorage)
    contexts = [
        build_context(Verification),
        *(build_context(kind, pydicom.uid.ExplicitVRLittleEndian) for kind in kinds),
    ]
    with associated(destination, own_title, contexts) as association:
        accepted = {context.abstract_syntax for context in association.accepted_contexts}
        if Verification in accepted and getattr(association.send_c_echo(), "Status", None) != 0:
            raise NotDelivered("it does not answer C-ECHO")
        if refused := [kind.name for kind in kinds if kind not in accepted]:
            raise NotDelivered(f"it does not take {', '.join(refused)}")


@contextmanager
def associated(
    destination: DicomDestination,
    own_title: str,
    contexts: Sequence[PresentationContext],
    handlers: Sequence[Any] = (),
) -> Iterator[Association]:
    """An association that is released when the block ends, aborted when it fails."""
    entity = AE(own_title)
    entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = entity.connection_timeout = TIMEOUT_S
    tls = (client_context(destination.tls), destination.host) if destination.tls else None
    association = entity.associate(
        destination.host,
        destination.port,
        list(contexts),
        ae_title=destination.ae_title,
        tls_args=tls,
        evt_handlers=[*handlers, *PROMPT],
    )
    if not association.is_established:
        raise NotDelivered(
            "it rejects us" if association.is_rejected else "it cannot be reached, or takes nothing of ours"
        )
    try:
        yield association
        association.release()
    finally:
        if association.is_established:
            association.abort()


def _store(association: Association, file: Path) -> None:
    try:
        status = association.send_c_store(file).get("Status")
    except (ValueError, RuntimeError) as error:
        raise NotDelivered(f"it ended the association ({type(error).__name__})") from error
    if status is None:
        raise NotDelivered("it ended the association, or was silent for too long")
    if status != 0 and status not in WARNINGS:
        raise NotDelivered(f"it refused an instance with status 0x{status:04X}")


def ask_for_commitment(
    sent: Sequence[SentFile],
    transaction: str,
    destination: DicomDestination,
    own_title: str,
    handlers: Sequence[Any],
) -> None:
    """N-ACTION for `sent` (PS3.4 J.3.2); the answer names `transaction`, and comes to `handlers` or to our own ear."""
    asked = pydicom.Dataset()
    asked.TransactionUID = transaction
    asked.ReferencedSOPSequence = []
    for item in sent:
        reference = pydicom.Dataset()
        reference.ReferencedSOPClassUID, reference.ReferencedSOPInstanceUID = item.sop_class, item.instance
        asked.ReferencedSOPSequence.append(reference)
    contexts = [build_context(StorageCommitmentPushModel)]
    with associated(destination, own_title, contexts, handlers) as association:
        status, _ = association.send_n_action(asked, 1, StorageCommitmentPushModel, COMMITMENT_INSTANCE)
        if status.get("Status") != 0:
            raise NotDelivered("it does not take a request for storage commitment")
