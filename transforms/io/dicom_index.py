"""Which series a heap of files holds, from their headers alone: no pixel is read here.

One SeriesInstanceUID can hold several acquisitions (echoes, time points, magnitude and phase), which common
readers stack into one wrong volume: such a series is split first, then checked for its geometry.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from pydicom.errors import InvalidDicomError

from scanweave.errors import Code, Problem
from scanweave.transforms.io.dicom_facts import numbers, text
from scanweave.transforms.io.dicom_file import read_dataset, transfer_syntax
from scanweave.transforms.io.dicom_instance import Instance, open_image, patient_facts
from scanweave.transforms.io.dicom_parts import split_series
from scanweave.transforms.io.dicom_series import describe_series
from scanweave.transforms.io.files import DICOM_SUFFIXES
from scanweave.transforms.io.series import Series

_DIGITS = re.compile(r"\d+")


@dataclass(frozen=True)
class DicomIndex:
    """All image series among some files, and the problems of files that cannot be told to belong to any."""

    series: tuple[Series, ...]
    stray_problems: tuple[Problem, ...]


def index_dicom(files: Iterable[Path]) -> DicomIndex:
    """Read the headers of `files`, in any order and mixture, and sort the images into series."""
    instances: dict[str, Instance] = {}
    stray: list[Problem] = []
    foreign: list[Path] = []
    for path in files:
        try:
            found = open_image(path)
        except InvalidDicomError:
            foreign.append(path)
            continue
        if isinstance(found, Problem):
            stray.append(found)
        elif found is not None:
            uid = text(found.header, "SOPInstanceUID")
            stray += _clash(found, instances.get(uid))
            if uid not in instances or instances[uid].problems:
                instances[uid] = found  # an instance stored twice is one instance, and the whole copy counts
    stray += _broken_by_name(foreign, instances.values())
    by_uid: dict[str, list[Instance]] = defaultdict(list)
    for item in instances.values():
        by_uid[text(item.header, "SeriesInstanceUID")].append(item)
    series = [describe_series(uid, part, some) for uid, all_of in by_uid.items() for part, some in split_series(all_of)]
    series.sort(key=lambda item: (item.facts.series_number is None, item.facts.series_number or 0, item.label))
    return DicomIndex(tuple(series), tuple(stray))


def _clash(found: Instance, earlier: Instance | None) -> list[Problem]:
    """Two different images under one SOPInstanceUID: one would be dropped and the series left with a hole."""
    if earlier is None or (_identity(found) == _identity(earlier) and _same_pixels(found, earlier)):
        return []
    message = f"two different images bear one SOPInstanceUID, the other is {earlier.path.name}"
    return [Problem(Code.UNREADABLE, message, found.path.name)]


def _identity(instance: Instance) -> tuple[object, ...]:
    header = instance.header
    position = numbers(header, "ImagePositionPatient") or ()
    place = str([round(value, 2) for value in position])
    return text(header, "StudyInstanceUID"), text(header, "SeriesInstanceUID"), place, patient_facts(header)


def _same_pixels(one: Instance, other: Instance) -> bool:
    """False where two files that are alike by their headers, and whole, store different pixels in the same way."""
    if one.problems or other.problems or one.path.read_bytes() == other.path.read_bytes():
        return True
    try:
        datasets = [read_dataset(item.path) for item in (one, other)]
    except MemoryError:
        raise
    except Exception:  # pydicom raises nearly anything on damaged bytes
        return False
    if transfer_syntax(datasets[0]) != transfer_syntax(datasets[1]):  # a copy that was compressed on its way
        return True
    return bool(datasets[0].get("PixelData") == datasets[1].get("PixelData"))


def _broken_by_name(files: Iterable[Path], images: Iterable[Instance]) -> list[Problem]:
    """Files without DICOM's marks that are named as DICOM, or as the images beside them but for the digits."""
    shapes = {(item.path.parent, _DIGITS.sub("#", item.path.name)) for item in images}
    return [
        Problem(Code.TRUNCATED, "expected a DICOM file, found none of its marks", path.name)
        for path in files
        if path.suffix.lower() in DICOM_SUFFIXES or (path.parent, _DIGITS.sub("#", path.name)) in shapes
    ]
