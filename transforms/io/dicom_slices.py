"""Where the slices of an image lie: one geometry a file, or one a frame of an enhanced image."""

from __future__ import annotations

import pydicom

from scanweave.transforms.io.dicom_facts import items, number, numbers, text
from scanweave.transforms.io.dicom_geometry import SliceGeometry


def slice_geometry(header: pydicom.Dataset) -> SliceGeometry:
    """The geometry of a single-frame image, or what all frames of an enhanced one share."""
    return SliceGeometry(
        orientation=numbers(header, "ImageOrientationPatient"),
        position=numbers(header, "ImagePositionPatient"),
        pixel_spacing=numbers(header, "PixelSpacing"),
        rows=int(number(header, "Rows") or 0),
        columns=int(number(header, "Columns") or 0),
        frame_of_reference=text(header, "FrameOfReferenceUID"),
    )


def frame_geometries(header: pydicom.Dataset) -> list[SliceGeometry]:
    """One geometry a frame; the shared group stands in for what the frame's own lacks (PS3.3 C.7.6.16.1)."""
    shared = slice_geometry(header)
    frames = []
    for group in items(header, "PerFrameFunctionalGroupsSequence") or [pydicom.Dataset()]:
        frame = pydicom.Dataset()
        frame.PerFrameFunctionalGroupsSequence = [group]
        own = {key: numbers(frame, key) for key in ("ImageOrientationPatient", "ImagePositionPatient", "PixelSpacing")}
        frames.append(
            SliceGeometry(
                orientation=own["ImageOrientationPatient"] or shared.orientation,
                position=own["ImagePositionPatient"],
                pixel_spacing=own["PixelSpacing"] or shared.pixel_spacing,
                rows=shared.rows,
                columns=shared.columns,
                frame_of_reference=shared.frame_of_reference,
            )
        )
    return frames
