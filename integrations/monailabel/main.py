"""scanweave as a MONAI Label app: Slicer's and OHIF's MONAI Label clients ask, the `scanweave` command answers.

Research use only, not a medical device. docs/monailabel.md says how to start it and what it takes.
"""

from __future__ import annotations

from typing import Any

from lib.command import Scanweave
from lib.infer_route import take_over
from lib.refusal import Refusal
from lib.sources import source_of
from lib.task import DESCRIPTION, MODEL, NOTICE, Segmentation
from monailabel.config import settings
from monailabel.datastore.dicom import DICOMWebDatastore
from monailabel.interfaces.app import MONAILabelApp
from monailabel.interfaces.datastore import Datastore, DefaultLabelTag

TITLE = f"scanweave. {NOTICE}"
"""OHIF shows it above its buttons, and nothing else of what the app says of itself."""
FILTER = "MONAI_LABEL_DICOMWEB_SEARCH_FILTER"


class ScanweaveApp(MONAILabelApp):
    """One model; `--conf` takes scanweave (path of the command), bundle, device and timeout_s."""

    def __init__(self, app_dir: str, studies: str, conf: dict[str, str]) -> None:
        try:
            self._task = Segmentation(Scanweave.configured(conf or {}))
        except ValueError as reason:
            raise SystemExit(f"scanweave app: {reason}") from None
        super().__init__(app_dir, studies, conf, name=TITLE, description=DESCRIPTION)
        from monailabel.app import app as application  # the server, which imports the class that this one extends

        application.description = DESCRIPTION
        take_over(application, self.infer, self._session)

    def init_infers(self) -> dict[str, Segmentation]:
        return {MODEL: self._task}

    def init_remote_datastore(self) -> Datastore:
        """DICOMweb alone, and of MR: MONAI Label's own default lists CT."""
        if settings.MONAI_LABEL_DICOMWEB_SEARCH_FILTER.get("Modality") != "MR":
            raise SystemExit(f"""scanweave app: set {FILTER}='{{"Modality": "MR"}}': without it, CT is listed""")
        datastore = super().init_remote_datastore()
        if not isinstance(datastore, DICOMWebDatastore):
            raise SystemExit("scanweave app: of remote studies, only those of a DICOMweb server are read")
        return datastore

    def _session(self, name: str) -> Any:
        """Where the images of a session are, or None."""
        return self.sessions().get_session(name) if self.sessions() is not None else None

    def _download_dcmqi_tools(self) -> None:
        """Nothing is downloaded; scanweave writes DICOM-SEG itself."""

    def infer(self, request: dict[str, Any], datastore: Datastore | None = None) -> dict[str, Any]:
        """One result: `file` is the caller's to remove.

        Raises
        ------
        Refusal
            For the client to read.
        """
        if request.get("model") != MODEL:
            raise Refusal(404, "UNKNOWN_MODEL", f"the model of this server is {MODEL}")
        if "source" in request:
            file, params = self._task(request)
        else:
            with source_of(str(request.get("image") or ""), self.datastore(), self.studies) as source:
                file, params = self._task({**request, "source": source})
        return {"label": file, "tag": DefaultLabelTag.ORIGINAL, "file": file, "params": params}
