"""The slices of an image, each as if it were a file of its own: an enhanced image says once what its frames share."""

from __future__ import annotations

from collections.abc import Sequence

import pydicom

from scanweave.transforms.io.dicom_facts import items, number, numbers, text
from scanweave.transforms.io.dicom_geometry import SliceGeometry

PLACE = ("ImageOrientationPatient", "ImagePositionPatient", "PixelSpacing")
RESCALE = ("RescaleSlope", "RescaleIntercept", "RescaleType", "ModalityLUTSequence")
KIND = {
    "stack": ("StackID",),
    "time point": ("TemporalPositionIndex", "TemporalPositionTimeOffset"),
    "echo time": ("EffectiveEchoTime",),
    "inversion time": ("InversionTimes",),
    "image type": ("FrameType", "ComplexImageComponent"),
    "diffusion weighting": ("DiffusionBValue",),
}
"""By what frames of one enhanced image may differ besides their place (PS3.3 C.7.6.16.2, C.8.13.5)."""
_OF_A_SLICE = (*PLACE, *RESCALE, *(keyword for keywords in KIND.values() for keyword in keywords))


def slices_of(header: pydicom.Dataset) -> list[pydicom.Dataset]:
    """One flat dataset a frame: its own functional groups, else the shared ones, else the header (PS3.3 C.7.6.16.1).

    Of a single-frame image without functional groups it is the header itself.
    """
    shared = _macros(items(header, "SharedFunctionalGroupsSequence")[:1])
    groups = items(header, "PerFrameFunctionalGroupsSequence")
    if not groups and not shared:
        return [header]
    return [_flat([*_macros([group]), *shared, header]) for group in groups or [pydicom.Dataset()]]


def slice_geometry(one: pydicom.Dataset, header: pydicom.Dataset) -> SliceGeometry:
    """Where one of `slices_of(header)` lies."""
    return SliceGeometry(
        orientation=numbers(one, "ImageOrientationPatient"),
        position=numbers(one, "ImagePositionPatient"),
        pixel_spacing=numbers(one, "PixelSpacing"),
        rows=int(number(header, "Rows") or 0),
        columns=int(number(header, "Columns") or 0),
        frame_of_reference=text(header, "FrameOfReferenceUID"),
    )


def kinds_of(slices: Sequence[pydicom.Dataset]) -> dict[str, int]:
    """By what the frames of one image differ, and how many different ones there are."""
    counts = {}
    for name, keywords in KIND.items():
        count = len({tuple(text(item, keyword) for keyword in keywords) for item in slices})
        if count > 1:
            counts[name] = count
    return counts


def _macros(groups: Sequence[pydicom.Dataset]) -> list[pydicom.Dataset]:
    """The first item of every standard sequence of a functional group; Philips keeps whole other headers in its own."""
    tags = [(group, tag) for group in groups for tag in sorted(group.keys()) if not tag.is_private]
    return [item for group, tag in tags for item in items(group, tag)[:1]]


def _flat(places: Sequence[pydicom.Dataset]) -> pydicom.Dataset:
    """Of each attribute of a slice the first that is found in `places`."""
    flat = pydicom.Dataset()
    for keyword in _OF_A_SLICE:
        for place in places:
            if keyword in place:
                flat[keyword] = place.get_item(keyword)  # not converted: that can raise anything
                break
    return flat
