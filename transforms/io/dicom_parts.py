"""The acquisitions that one SeriesInstanceUID holds: echoes, time points, kinds of image."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from scanweave.transforms.io.dicom_facts import number, numbers, text, texts
from scanweave.transforms.io.dicom_geometry import ORIENTATION_TOLERANCE, geometry_problems
from scanweave.transforms.io.dicom_instance import Instance, frame_count
from scanweave.transforms.io.dicom_slices import slice_geometry

_NAMES = ("echo", "time", "type")


def split_series(instances: Sequence[Instance]) -> list[tuple[str, list[Instance]]]:
    """Parts of one UID by echo, time point and image type; one unnamed part where they agree.

    Echoes and time points image the same planes: a UID of several orientations is left whole, to be refused, and so
    is one stack whose slices differ, of which each part would be a smaller or a wider one.
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
    found = _acquisitions(instances)
    if len(found) == 1 or not _in_several_slices(found, instances) or _one_stack(instances):
        return [("", list(instances))]
    varying = _varying(found)
    return [
        (" ".join(f"{n} {v or '-'}" for n, v, differs in zip(_NAMES, key, varying, strict=True) if differs), some)
        for key, some in found.items()
    ]


def differences(instances: Sequence[Instance]) -> tuple[str, ...]:
    """In what the slices of one part differ that makes them several acquisitions: "echo", "time", "type"."""
    found = _acquisitions(instances)
    if not _in_several_slices(found, instances):
        return ()
    return tuple(name for name, differs in zip(_NAMES, _varying(found), strict=True) if differs)


_Acquisitions = dict[tuple[str, str, str], list[Instance]]


def _acquisitions(instances: Sequence[Instance]) -> _Acquisitions:
    """The slices by echo, time point and image type."""
    echo = "EchoNumbers" if all(number(i.header, "EchoNumbers") is not None for i in instances) else "EchoTime"
    found: _Acquisitions = defaultdict(list)
    for item in instances:
        echo_number = number(item.header, echo)
        echo_text = "" if echo_number is None else f"{echo_number:.4g}"  # 90 and 90.0 are one echo time
        time_point = text(item.header, "TemporalPositionIdentifier")
        found[echo_text, time_point, "\\".join(texts(item.header, "ImageType"))].append(item)
    return found


def _in_several_slices(found: _Acquisitions, instances: Sequence[Instance]) -> bool:
    """What differs in every slice tells no acquisitions apart."""
    return len(found) < len(instances)


def _varying(found: _Acquisitions) -> list[bool]:
    return [len({key[axis] for key in found}) > 1 for axis in range(len(_NAMES))]


def _one_stack(instances: Sequence[Instance]) -> bool:
    """Whether all slices together are one regular block, in which no plane was imaged twice."""
    return not geometry_problems([slice_geometry(item.header, item.header) for item in instances], "")


def _orientation_spread(instances: Sequence[Instance]) -> float:
    """Largest difference between direction cosines; 0 where the headers hold none to compare."""
    found = [numbers(item.header, "ImageOrientationPatient") for item in instances]
    cosines = [value for value in found if value is not None and len(value) == 6]
    return float(np.ptp(cosines, axis=0).max()) if cosines else 0.0
