"""From a DICOM header to the facts by which a series is recognised; odd or empty values become absent ones."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Sequence
from typing import Any

import pydicom
from pydicom.tag import BaseTag

from scanweave.errors import printable
from scanweave.transforms.io.series import HeaderFacts

_DIFFUSION_B_VALUE = "DiffusionBValue"


def header_facts(
    headers: Sequence[pydicom.Dataset],
    normal_ras: tuple[float, float, float] | None,
    spacing: tuple[float, float, float] | None,
    slice_count: int,
) -> HeaderFacts:
    """The facts of one series; taken from its first header, where an enhanced one's functional groups count too."""
    first = headers[0]
    return HeaderFacts(
        modality=text(first, "Modality"),
        manufacturer=text(first, "Manufacturer"),
        description=text(first, "SeriesDescription"),
        protocol=text(first, "ProtocolName"),
        sequence_name=text(first, "SequenceName") or text(first, "PulseSequenceName"),
        series_number=_integer(find(first, "SeriesNumber")),
        image_type=texts(first, "ImageType"),
        scanning_sequence=texts(first, "ScanningSequence"),
        sequence_variant=texts(first, "SequenceVariant"),
        scan_options=texts(first, "ScanOptions"),
        acquisition_type=text(first, "MRAcquisitionType"),
        tr_ms=number(first, "RepetitionTime"),
        te_ms=number(first, "EchoTime") or number(first, "EffectiveEchoTime"),
        ti_ms=number(first, "InversionTime") or number(first, "InversionTimes"),
        flip_angle=number(first, "FlipAngle"),
        contrast_agent=_contrast_agent(first),
        contrast_volume_ml=number(first, "ContrastBolusVolume"),
        b_value=number(first, _DIFFUSION_B_VALUE),
        acquired_s=_acquired(headers),
        slice_count=slice_count,
        normal_ras=normal_ras,
        spacing=spacing,
    )


def find(header: pydicom.Dataset, keyword: str) -> Any:
    """A value at top level, or in the shared and then the first per-frame functional group (PS3.3 C.7.6.16)."""
    if keyword in header:
        return _value(header, keyword)
    for name in ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"):
        for group in items(header, name)[:1]:
            for macro in (items(group, tag)[:1] for tag in sorted(group.keys())):
                if macro and keyword in macro[0]:
                    return _value(macro[0], keyword)
    return None


def items(header: pydicom.Dataset, keyword: str | BaseTag) -> list[pydicom.Dataset]:
    """The items of a sequence, [] where absent or unreadable, or where it is none."""
    value = _value(header, keyword) if keyword in header else None
    return list(value) if isinstance(value, pydicom.Sequence) else []


def _value(header: pydicom.Dataset, keyword: str | BaseTag) -> Any:
    """The value, None where its bytes are none of its kind: pydicom converts on access and raises nearly anything."""
    try:
        return header[keyword].value
    except Exception:
        return None


def text(header: pydicom.Dataset, keyword: str) -> str:
    """A single text value on one line, "" where absent."""
    value = find(header, keyword)
    return "" if value is None else printable(str(value))


def texts(header: pydicom.Dataset, keyword: str) -> tuple[str, ...]:
    """A multi-valued code string, () where absent."""
    value = find(header, keyword)
    if value is None or value == "":
        return ()
    values = list(value) if isinstance(value, (list, pydicom.multival.MultiValue)) else [value]
    return tuple(printable(str(item)).upper() for item in values)


def number(header: pydicom.Dataset, keyword: str) -> float | None:
    """A finite number (the first of several), None where absent or unreadable."""
    value = find(header, keyword)
    if isinstance(value, (list, pydicom.multival.MultiValue)):
        value = value[0] if value else None
    try:
        found = None if value is None or value == "" else float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return found if found is not None and math.isfinite(found) else None


def numbers(header: pydicom.Dataset, keyword: str) -> tuple[float, ...] | None:
    """A vector of numbers, None where absent or unreadable."""
    value = find(header, keyword)
    try:
        return None if value is None or value == "" else tuple(float(item) for item in value)
    except (TypeError, ValueError, OverflowError):
        return None


def _integer(value: Any) -> int | None:
    try:
        return None if value is None or value == "" else int(value)
    except (TypeError, ValueError, OverflowError):
        return None


def _contrast_agent(header: pydicom.Dataset) -> str | None:
    """ContrastBolusAgent; the code's meaning where only the sequence is filled; None where neither is there."""
    agent = text(header, "ContrastBolusAgent")
    for item in items(header, "ContrastBolusAgentSequence"):
        agent = agent or text(item, "CodeMeaning") or text(item, "CodeValue")
    return agent if agent or "ContrastBolusAgent" in header else None


def _acquired(headers: Sequence[pydicom.Dataset]) -> float | None:
    """Seconds on an arbitrary common clock at which the series began: acquisition time, else the series' time.

    Enhanced images have AcquisitionDateTime, which is both in one.
    """
    stamps = [text(header, "AcquisitionDateTime") for header in headers]
    for found in (
        [_moment(text(h, "AcquisitionDate") or text(h, "StudyDate"), text(h, "AcquisitionTime")) for h in headers],
        [_moment(stamp[:8], stamp[8:]) for stamp in stamps],
        [_moment(text(h, "SeriesDate") or text(h, "StudyDate"), text(h, "SeriesTime")) for h in headers],
    ):
        known = [moment for moment in found if moment is not None]
        if known:
            return min(known)
    return None


def _moment(date: str, time: str) -> float | None:
    try:
        clock = time.split("+")[0].split("-")[0].replace(":", "").ljust(6, "0")
        day = dt.date(int(date[:4]), int(date[4:6]), int(date[6:8])).toordinal() if len(date) >= 8 else 0
        moment = day * 86400.0 + int(clock[:2]) * 3600 + int(clock[2:4]) * 60 + float(clock[4:]) if time else None
    except ValueError:
        return None
    return moment if moment is not None and math.isfinite(moment) else None
