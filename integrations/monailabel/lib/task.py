"""The model as MONAI Label lists it, and one run of it."""

from __future__ import annotations

import json
import logging
import os
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from monailabel.interfaces.tasks.infer_v2 import InferTask, InferType

from lib.answers import DEFAULT, output_of, write_answer
from lib.command import Scanweave
from lib.refusal import Refusal
from lib.sources import Source, roles_by_hand

logger = logging.getLogger(__name__)

MODEL = "flair_abnormality_segmentation"
"""Viewers offer models of type segmentation; MONAI Label's own apps take the type from the name."""
LABEL, LABEL_VALUE = "FLAIR abnormality", 1
REFERENCE = "flair"
"""The role on whose grid the mask lies."""
NOTICE = "Research use only, not a medical device"
DESCRIPTION = f"FLAIR abnormality of lower-grade gliomas, from T1, FLAIR and contrast T1 of one study. {NOTICE}."
COMPONENTS = ("likely", "largest", "all")


class Segmentation(InferTask):
    """`scanweave segment`; one study at a time, since each takes all cores."""

    def __init__(self, command: Scanweave) -> None:
        config = {"single_volume_is_flair": False, "components": list(COMPONENTS)}
        super().__init__(InferType.SEGMENTATION, {LABEL: LABEL_VALUE}, 3, DESCRIPTION, config)
        self.command = command
        self._turn = threading.Lock()

    def is_valid(self) -> bool:
        return True

    def __call__(self, request: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        """The path of a file that is the caller's to remove, and what viewers are told beside it.

        `request["source"]` is a `Source`; the other entries are those of MONAI Label's clients.

        Raises
        ------
        Refusal
            Whatever the reason is, for the client to read; nothing is left behind.
        """
        source: Source = request["source"]
        extension = str(request.get("result_extension") or DEFAULT)
        wanted = output_of(extension)
        words = roles_by_hand(source, request.get("inputs"), bool(request.get("single_volume_is_flair")))
        began = time.monotonic()
        with self._turn, tempfile.TemporaryDirectory(prefix="result-") as folder:
            if source.series and not request.get("inputs"):
                self._check_series_shown(source)
            result = self.command.segment(words, Path(folder) / "out", wanted, _components(request))
            said = json.loads((result / "result.json").read_text())
            handle, path = tempfile.mkstemp(prefix="answer-", suffix=extension)
            os.close(handle)
            try:
                dtype, compress = str(request.get("result_dtype") or "uint8"), bool(request.get("result_compress"))
                write_answer(result, extension, Path(path), dtype, compress)
            except BaseException:
                Path(path).unlink(missing_ok=True)
                raise
        seconds = time.monotonic() - began
        logger.info("segmented in %.1f s", seconds)
        return path, _beside(said, seconds)

    def _check_series_shown(self, source: Source) -> None:
        """A viewer lays the mask on the series that it shows, voxel by voxel, so that must be the mask's own."""
        found = self.command.inspect(source.path)
        reference = found.get("roles", {}).get(REFERENCE, {}).get("series", "")
        shown = next((series for series in found["series"] if series.get("uid") == source.series), None)
        if shown is not None and reference and reference != source.series:
            message = "the mask lies on the FLAIR series and not on the one that was asked for: open the FLAIR"
            raise Refusal(422, "NOT_THE_REFERENCE", f"{message} (series {reference})")


def _components(request: dict[str, Any]) -> str:
    """What the client chose; a list is the choice as it was offered, of which nothing was chosen."""
    chosen = request.get("components")
    if not chosen or isinstance(chosen, list):
        return ""
    if chosen not in COMPONENTS:
        raise Refusal(400, "USAGE", f"components: one of {', '.join(COMPONENTS)}")
    return str(chosen)


def _beside(said: dict[str, Any], seconds: float) -> dict[str, Any]:
    flagged = [role for role, found in said.get("registration", {}).items() if found.get("flagged")]
    return {
        "label_names": {LABEL: LABEL_VALUE},
        "notice": NOTICE,
        "volume_ml": said.get("volume_ml"),
        "warnings": said.get("warnings", []),
        "registration_flagged": flagged,
        "latencies": {"total": round(seconds, 2)},
        "result": said,
    }
