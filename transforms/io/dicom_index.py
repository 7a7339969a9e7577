"""Which series a heap of files holds, from their headers alone: no pixel is read here.

One SeriesInstanceUID can hold several acquisitions (echoes, time points, magnitude and phase), which common
readers stack into one wrong volume: such a series is split first, then checked for its geometry.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydicom.errors import InvalidDicomError

from scanweave.errors import Code, Problem
from scanweave.transforms.io.dicom_facts import number, numbers, text, texts
from scanweave.transforms.io.dicom_file import read_dataset, transfer_syntax
from scanweave.transforms.io.dicom_geometry import ORIENTATION_TOLERANCE
from scanweave.transforms.io.dicom_instance import Instance, frame_count, open_image, patient_facts
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
    series = [describe_series(uid, part, some) for uid, all_of in by_uid.items() for part, some in _split(all_of)]
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


def _split(instances: Sequence[Instance]) -> list[tuple[str, list[Instance]]]:
    """Parts of one UID by echo, time point and image type; one unnamed part where they agree.

    Echoes and time points image the same planes: a UID of several orientations is left whole, to be refused.
    Each multi-frame image is a volume of its own.
    """
    multiframe = [item for item in instances if frame_count(item.header) > 1]
    if multiframe and len(instances) > 1:
        order = sorted(multiframe, key=lambda item: (number(item.header, "InstanceNumber") or 0, str(item.path)))
        parts = [(f"image {n}", [item]) for n, item in enumerate(order, 1)]
        single = [item for item in instances if item not in multiframe]
        return parts + ([("single frames", single)] if single else [])
    orientations = {text(item.header, "ImageOrientationPatient") for item in instances}
    if len(orientations) > 1 and _orientation_spread(instances) > ORIENTATION_TOLERANCE:
        return [("", list(instances))]
    echo = "EchoNumbers" if all(number(i.header, "EchoNumbers") is not None for i in instances) else "EchoTime"
    parts_by_key: dict[tuple[str, str, str], list[Instance]] = defaultdict(list)
    for item in instances:
        echo_number = number(item.header, echo)
        echo_text = "" if echo_number is None else f"{echo_number:.4g}"  # 90 and 90.0 are one echo time
        time_point = text(item.header, "TemporalPositionIdentifier")
        parts_by_key[echo_text, time_point, "\\".join(texts(item.header, "ImageType"))].append(item)
    if len(parts_by_key) in (1, len(instances)):  # what differs in every slice tells no acquisitions apart
        return [("", list(instances))]
    names = ("echo", "time", "type")
    varying = [len({key[axis] for key in parts_by_key}) > 1 for axis in range(len(names))]
    return [
        (" ".join(f"{n} {v or '-'}" for n, v, differs in zip(names, key, varying, strict=True) if differs), some)
        for key, some in parts_by_key.items()
    ]


def _orientation_spread(instances: Sequence[Instance]) -> float:
    """Largest difference between direction cosines; 0 where the headers hold none to compare."""
    found = [numbers(item.header, "ImageOrientationPatient") for item in instances]
    cosines = [value for value in found if value is not None and len(value) == 6]
    return float(np.ptp(cosines, axis=0).max()) if cosines else 0.0
