"""What every object that we derive from a series takes from its headers: patient, dates, numbers.

Nothing in such an object comes from a clock: the same run twice gives the same bytes, and a PACS keeps one result.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any

from highdicom.sr import CodedConcept
from pydicom.dataset import Dataset

from scanweave.transforms.io.dicom_seg_settings import SegSettings, plain_text
from scanweave.transforms.io.dicom_seg_sources import valid
from scanweave.transforms.io.uids import derived_uid
from scanweave.transforms.segments import Concept, Segment

MANUFACTURER = "scanweave"
CREATOR = "scanweave^"
"""ContentCreatorName: a person's name, of which the program is the family."""
UNKNOWN_DATE, UNKNOWN_TIME = "19000101", "000000"
"""Stand in where a source without any date meets an attribute that must not be empty."""
LABEL_LENGTH = 40
"""Letters of a label that a TrackingID has room for."""
MAX_SERIES_NUMBER = 2**31 - 1
"""The largest value of an IS (PS3.5 table 6.2-1)."""


def equipment(settings: SegSettings) -> dict[str, Any]:
    """The General Equipment module (PS3.3 C.7.5.1) as highdicom's constructors take it: the program and its weights."""
    return {
        "manufacturer": MANUFACTURER,
        "manufacturer_model_name": plain_text(settings.algorithm),
        "software_versions": plain_text(settings.version),
        "device_serial_number": plain_text(settings.weights_sha256)[:16],
    }


def coded(concept: Concept) -> CodedConcept:
    """`concept` as highdicom writes it."""
    return CodedConcept(concept.value, concept.scheme, concept.meaning)


def tracking(headers: Sequence[Dataset], settings: SegSettings, segment: Segment) -> tuple[str, str]:
    """TrackingUID and TrackingID of one finding, whatever holds it; `headers` are all that it was found in."""
    sources = sorted(str(header.SOPInstanceUID) for header in headers)
    uid = derived_uid("tracking", *sources, repr(settings.of_the_finding), segment.name)
    return uid, plain_text(f"{segment.label[:LABEL_LENGTH]} {uid[-8:]}")


def series_number(header: Dataset, offset: int) -> int:
    """The source's SeriesNumber and `offset`, which tells our kinds of results apart; `offset` where it has none."""
    return min(integer(header, "SeriesNumber") + offset, MAX_SERIES_NUMBER)


def integer(header: Dataset, keyword: str) -> int:
    """A number that is not negative; 0 where it is absent or none."""
    with contextlib.suppress(TypeError, ValueError):
        return max(int(header.get(keyword)), 0)
    return 0


def restore_identity(derived: Dataset, source: Dataset) -> None:
    """The character set and the patient's name as the source has them, past highdicom's checks."""
    if "SpecificCharacterSet" in source:
        derived.SpecificCharacterSet = source.SpecificCharacterSet
    derived.PatientName = source.get("PatientName") or ""


def replace_clock(derived: Dataset, source: Dataset) -> None:
    """Dates and times of the source in the place of highdicom's, which are the clock's."""
    date, time = moment(source)
    derived.ContentDate = derived.InstanceCreationDate = date
    derived.ContentTime = derived.InstanceCreationTime = time
    derived.SeriesDate = source.SeriesDate if valid("SeriesDate", source.get("SeriesDate")) else date
    derived.SeriesTime = source.SeriesTime if valid("SeriesTime", source.get("SeriesTime")) else time
    for item in derived.get("ContributingEquipmentSequence") or []:
        if item.get("ManufacturerModelName") == "highdicom":
            del item.ContributionDateTime
    if source.get("TimezoneOffsetFromUTC"):
        derived.TimezoneOffsetFromUTC = source.TimezoneOffsetFromUTC


def moment(header: Dataset) -> tuple[str, str]:
    """Date and time of a header, the most particular that it has (DA, TM)."""
    for kind in ("Content", "Acquisition", "Series", "Study"):
        date, time = header.get(f"{kind}Date"), header.get(f"{kind}Time")
        if valid("Date", date):
            return str(date), str(time) if valid("Time", time) else UNKNOWN_TIME
    return UNKNOWN_DATE, UNKNOWN_TIME
