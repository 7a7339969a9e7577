"""Studies come in by STOW-RS (PS3.18 10.5): what is acknowledged lies in the inbox, as of C-STORE."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol

import pydicom
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from scanweave.errors import EnvironmentFailure
from scanweave.pipeline.node.inbox import Inbox, NotStorable

if TYPE_CHECKING:
    from requests_toolbelt.multipart.decoder import MultipartDecoder

JSON_TYPE = "application/dicom+json"
NOT_UNDERSTOOD, OUT_OF_RESOURCES = 0xC000, 0xA700
OK, ACCEPTED, BAD_REQUEST, CONFLICT, TOO_LARGE, UNSUPPORTED, NO_SPACE = 200, 202, 400, 409, 413, 415, 507


class Trail(Protocol):
    """Hears what was refused."""

    def note(self, event: str, **facts: object) -> None:
        """As `Watch`."""


async def receive_stow(request: Request, inbox: Inbox, trail: Trail, most_bytes: int) -> Response:
    """Store every part of the request; the answer is as in PS3.18 10.5.3: 200, 202 or 409, by how many were stored."""
    content_type = request.headers.get("content-type", "")
    if not content_type.lower().startswith("multipart/related"):
        return PlainTextResponse("expected multipart/related; type=application/dicom", UNSUPPORTED)
    if not inbox.has_room:
        return PlainTextResponse("the disk is nearly full", NO_SPACE)
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > most_bytes:
            return PlainTextResponse("the request is larger than this node takes: send the study in parts", TOO_LARGE)
    sender = f"stow@{request.client.host if request.client else ''}"
    return await run_in_threadpool(_store_all, bytes(body), content_type, inbox, trail, sender)


def _store_all(body: bytes, content_type: str, inbox: Inbox, trail: Trail, sender: str) -> Response:
    from requests_toolbelt.multipart.decoder import ImproperBodyPartContentException, MultipartDecoder

    try:
        parts = list(_contents(MultipartDecoder(body, content_type)))
    except (ImproperBodyPartContentException, ValueError, IndexError, AttributeError):
        return PlainTextResponse("the parts of the request cannot be told apart", BAD_REQUEST)
    answer = pydicom.Dataset()
    stored, failed = [], []
    for content in parts:
        item = _reference(content)
        try:
            inbox.store(content, sender)
            stored.append(item)
            continue
        except NotStorable as refusal:
            item.FailureReason = NOT_UNDERSTOOD
            trail.note("refused", sender=sender, reason=str(refusal))
        except EnvironmentFailure as failure:
            item.FailureReason = OUT_OF_RESOURCES
            trail.note("refused", sender=sender, reason=failure.problems[0].message)
        failed.append(item)
    if stored:
        answer.ReferencedSOPSequence = stored
    if failed:
        answer.FailedSOPSequence = failed
    status = (OK if stored and not failed else ACCEPTED if stored else CONFLICT) if parts else BAD_REQUEST
    return Response(answer.to_json(), status, media_type=JSON_TYPE)


def _contents(decoder: MultipartDecoder) -> Iterator[bytes]:
    for part in decoder.parts:
        yield part.content


def _reference(content: bytes) -> pydicom.Dataset:
    """What the answer calls an instance; empty where its header cannot be read."""
    from io import BytesIO

    item = pydicom.Dataset()
    try:
        header = pydicom.dcmread(
            BytesIO(content), stop_before_pixels=True, specific_tags=["SOPClassUID", "SOPInstanceUID"]
        )
        item.ReferencedSOPClassUID = header.SOPClassUID
        item.ReferencedSOPInstanceUID = header.SOPInstanceUID
    except Exception:  # pydicom raises nearly anything on damaged bytes, which `Inbox.store` then words
        item = pydicom.Dataset()
    return item
