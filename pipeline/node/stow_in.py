"""Studies come in by STOW-RS (PS3.18 10.5): what is acknowledged lies in the inbox, as of C-STORE."""

from __future__ import annotations

from io import BytesIO

import pydicom
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from scanweave.pipeline.node.intake import Intake, Status

JSON_TYPE = "application/dicom+json"
OK, ACCEPTED, BAD_REQUEST, CONFLICT, TOO_LARGE, UNSUPPORTED, NO_SPACE = 200, 202, 400, 409, 413, 415, 507


async def receive_stow(request: Request, intake: Intake, most_bytes: int) -> Response:
    """Store every part of the request; the answer is as in PS3.18 10.5.3: 200, 202 or 409, by how many were stored."""
    content_type = request.headers.get("content-type", "")
    if not content_type.lower().startswith("multipart/related"):
        return PlainTextResponse("expected multipart/related; type=application/dicom", UNSUPPORTED)
    if not intake.has_room:
        return PlainTextResponse("the disk is nearly full", NO_SPACE)
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > most_bytes:
            return PlainTextResponse("the request is larger than this node takes: send the study in parts", TOO_LARGE)
    sender = f"stow@{request.client.host if request.client else ''}"
    return await run_in_threadpool(_store_all, bytes(body), content_type, intake, sender)


def _store_all(body: bytes, content_type: str, intake: Intake, sender: str) -> Response:
    from requests_toolbelt.multipart.decoder import ImproperBodyPartContentException, MultipartDecoder

    try:
        contents = [part.content for part in MultipartDecoder(body, content_type).parts]
    except (ImproperBodyPartContentException, ValueError, IndexError, AttributeError):
        return PlainTextResponse("the parts of the request cannot be told apart", BAD_REQUEST)
    answer = pydicom.Dataset()
    stored, failed = [], []
    for content in contents:
        item = _reference(content)
        status = intake.take(content, sender)
        if status is Status.SUCCESS:
            stored.append(item)
        else:
            item.FailureReason = int(status)
            failed.append(item)
    if stored:
        answer.ReferencedSOPSequence = stored
    if failed:
        answer.FailedSOPSequence = failed
    answered = (OK if stored and not failed else ACCEPTED if stored else CONFLICT) if contents else BAD_REQUEST
    return Response(answer.to_json(), answered, media_type=JSON_TYPE)


def _reference(content: bytes) -> pydicom.Dataset:
    """What the answer calls an instance; empty where its header cannot be read."""
    item = pydicom.Dataset()
    try:
        header = pydicom.dcmread(
            BytesIO(content), stop_before_pixels=True, specific_tags=["SOPClassUID", "SOPInstanceUID"]
        )
        item.ReferencedSOPClassUID = header.SOPClassUID
        item.ReferencedSOPInstanceUID = header.SOPInstanceUID
    except Exception:  # pydicom raises nearly anything on damaged bytes, which `Intake` then words
        item = pydicom.Dataset()
    return item
