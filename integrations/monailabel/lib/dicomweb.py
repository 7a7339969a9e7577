"""A whole study from a DICOMweb server, by the UID of one of its series: three roles are three series."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dicomweb_client import DICOMwebClient
from requests import RequestException

from lib.refusal import Refusal

UID = re.compile(r"[0-9]+(\.[0-9]+)+")
LONGEST_UID = 64
MODALITY, STUDY, SERIES = "00080060", "0020000D", "0020000E"
AS_STORED = (("application/dicom", "*"),)
"""No server has to decode or encode for us."""


def is_uid(text: str) -> bool:
    """Whether `text` can be a UID."""
    return len(text) <= LONGEST_UID and UID.fullmatch(text) is not None


def fetch_study(client: DICOMwebClient, uid: str, folder: Path) -> None:
    """Write every MR series of the study of series `uid` (or of study `uid`) below `folder`, one file an instance.

    Raises
    ------
    Refusal
        404: the server has no such series or study; 502: it does not answer or refuses.
    """
    with _server():
        study = _study_of(client, uid)
        found = client.search_for_series(study, search_filters={"Modality": "MR"})
        for number, series in enumerate(_value(entry, SERIES) for entry in found if _value(entry, MODALITY) == "MR"):
            place = folder / f"{number:04d}"
            place.mkdir()
            for n, instance in enumerate(client.iter_series(study, series, media_types=AS_STORED)):
                instance.save_as(place / f"{n:06d}.dcm")


def _study_of(client: DICOMwebClient, uid: str) -> str:
    for entry in client.search_for_series(search_filters={"SeriesInstanceUID": uid}):
        if _value(entry, SERIES) == uid:  # a server may ignore a filter
            return _value(entry, STUDY)
    for entry in client.search_for_studies(search_filters={"StudyInstanceUID": uid}):
        if _value(entry, STUDY) == uid:
            return uid
    raise Refusal(404, "UNKNOWN_IMAGE", "the DICOMweb server has no series and no study of this UID")


def _value(entry: dict[str, dict[str, Any]], tag: str) -> str:
    values = entry.get(tag, {}).get("Value") or [""]
    return str(values[0])


@contextmanager
def _server() -> Iterator[None]:
    try:
        yield
    except RequestException as error:
        answer = getattr(error, "response", None)
        said = f"HTTP {answer.status_code}" if answer is not None else type(error).__name__
        raise Refusal(502, "PACS_FAILED", f"the DICOMweb server did not give the study ({said})") from None
