"""POST /infer/{model}, in place of MONAI Label's own.

The stock one blocks the whole server while a model runs, makes DICOM-SEG from a NIfTI without our codes and only of
DICOMweb, and hides from the model which answer is wanted. Parameters and answers are the same.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any, Literal

from fastapi import Depends, FastAPI, File, Form, Response, UploadFile
from fastapi.responses import JSONResponse
from monailabel.config import RBAC_USER, settings
from monailabel.endpoints import infer as stock
from monailabel.endpoints.user.auth import RBAC, User
from requests_toolbelt import MultipartEncoder

from lib.answers import DEFAULT, MEDIA_TYPES
from lib.refusal import Refusal
from lib.sources import Source

logger = logging.getLogger(__name__)
Infer = Callable[[dict[str, Any]], dict[str, Any]]
Session = Callable[[str], Any]
CHUNK = 1 << 20


def take_over(application: FastAPI, infer: Infer, session: Session) -> None:
    """Serve `infer` (a request with `model` and `image` or `source` in, {"file", "params"} out) to clients."""
    path = settings.MONAI_LABEL_API_STR + "/infer/{model}"
    stock.router.routes[:] = []
    user = Depends(RBAC(settings.MONAI_LABEL_AUTH_ROLE_USER))

    def run_inference(
        model: str,
        image: str = "",
        session_id: str = "",
        params: Annotated[str, Form()] = "{}",
        file: Annotated[UploadFile | None, File()] = None,
        label: Annotated[UploadFile | None, File()] = None,
        output: Literal["all", "image", "json", "dicom_seg"] | None = None,
        user: User = user,
    ) -> Response:
        request = _request(model, image, params, output)
        with TemporaryDirectory(prefix="upload-") as folder:
            if file is not None:
                request["source"] = Source(_received(file, Path(folder)))
            elif session_id:
                request["source"] = _of_session(session(session_id))
            result = _without_traceback(infer, request)
        return _answer(result, output, str(request["result_extension"]))

    application.router.add_api_route(path, run_inference, methods=["POST"], tags=["Infer"], response_class=Response,
                                     summary=f"{RBAC_USER}Run Inference for supported model")  # fmt: skip
    batch = settings.MONAI_LABEL_API_STR + "/batch/infer/{model}"
    application.router.add_api_route(batch, _no_batch, methods=["POST"], include_in_schema=False)
    routes = application.router.routes
    routes[:] = routes[-2:] + routes[:-2]


def _no_batch(model: str) -> Response:
    raise Refusal(501, "USAGE", "MONAI Label would take each series for a study: use `scanweave batch`")


def _request(model: str, image: str, params: str, output: str | None) -> dict[str, Any]:
    try:
        wanted = json.loads(params or "{}")
    except ValueError:
        raise Refusal(400, "USAGE", "params is no JSON") from None
    if not isinstance(wanted, dict):
        raise Refusal(400, "USAGE", "params is no JSON object")
    extension = ".dcm" if output == "dicom_seg" else wanted.get("result_extension") or DEFAULT
    wanted.pop("source", None)
    return {**wanted, "model": model, "image": image, "result_extension": extension}


def _received(file: UploadFile, folder: Path) -> Path:
    name = Path((file.filename or "").replace("\\", "/")).name
    path = folder / (name if name not in ("", "..") else "image.nii.gz")
    with path.open("wb") as target:
        while chunk := file.file.read(CHUNK):
            target.write(chunk)
    return path


def _of_session(found: Any) -> Source:
    if found is None:
        raise Refusal(404, "UNKNOWN_SESSION", "there is no such session, or it has expired")
    return Source(Path(found.image))


def _without_traceback(infer: Infer, request: dict[str, Any]) -> dict[str, Any]:
    """Tracebacks hold paths and UIDs: the log has the kind of a defect, and the rest at DEBUG."""
    try:
        return infer(request)
    except Refusal as refusal:
        logger.warning("refused: %s", ", ".join(refusal.codes))
        raise
    except Exception as defect:
        logger.error("a defect of the app: %s", type(defect).__name__)
        logger.debug("it was", exc_info=True)
        raise Refusal(500, "INTERNAL", f"a defect of the app ({type(defect).__name__})") from None


def _answer(result: dict[str, Any], output: str | None, extension: str) -> Response:
    """All of it in memory, so that no file stays when a client has gone away."""
    path, name = Path(result["file"]), f"segmentation{extension}"
    try:
        content = path.read_bytes()
    finally:
        path.unlink()
    media_type = MEDIA_TYPES.get(extension, "application/octet-stream")
    if output == "json":
        return JSONResponse(result["params"])
    if output in ("image", "dicom_seg"):
        disposition = {"content-disposition": f'attachment; filename="{name}"'}
        return Response(content, media_type=media_type, headers=disposition)
    parts = {
        "params": (None, json.dumps(result["params"]), "application/json"),
        "image": (name, content, media_type),
    }
    message = MultipartEncoder(fields=parts)
    return Response(message.to_string(), media_type=message.content_type)
