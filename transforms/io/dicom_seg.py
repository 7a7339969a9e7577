"""A mask on the FLAIR's own grid, or its probabilities, as a DICOM Segmentation (PS3.3 A.51 and A.90).

Nothing in the file comes from a clock or a random number: dates are the source's, UIDs are hashes. The same
run twice gives the same bytes, and a PACS keeps one result.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import highdicom as hd
import numpy as np
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import ExplicitVRLittleEndian

from scanweave.transforms.geometry import LPS_FROM_RAS, Volume
from scanweave.transforms.io.dicom_derived import (
    CREATOR,
    coded,
    equipment,
    replace_clock,
    restore_identity,
    series_number,
    tracking,
)
from scanweave.transforms.io.dicom_seg_grid import as_source_stack
from scanweave.transforms.io.dicom_seg_references import once
from scanweave.transforms.io.dicom_seg_settings import SegKind, SegSettings, plain_text
from scanweave.transforms.io.dicom_seg_sources import (
    frame_of_reference,
    segmented_sources,
    sorted_headers,
)
from scanweave.transforms.io.uids import derived_uid
from scanweave.transforms.segments import Segment

__all__ = ["SegKind", "SegSettings", "holds_something", "write_dicom_seg"]

SERIES_NUMBER_OFFSETS = {SegKind.BINARY: 1000, SegKind.FRACTIONAL: 2000, SegKind.LABELMAP: 3000}
"""Added to the FLAIR's SeriesNumber."""
MAX_FRACTION = 255
"""MaximumFractionalValue (PS3.3 C.8.20.2): what a probability of 1 is stored as."""
_CONTENT_LABELS = {SegKind.BINARY: "SEGMENTATION", SegKind.FRACTIONAL: "PROBABILITY", SegKind.LABELMAP: "LABELMAP"}


def write_dicom_seg(
    path: Path,
    mask: Volume | Sequence[Volume],
    flair_headers: Sequence[Dataset],
    further_headers: Sequence[Dataset],
    settings: SegSettings,
) -> None:
    """Write `mask` as a DICOM Segmentation of the FLAIR series, Explicit VR little endian.

    Parameters
    ----------
    path
        The file, overwritten where it exists.
    mask
        On the grid of the FLAIR, axes in any order and direction: labels, 0 and 1 (or bool) of a single segment; of
        `FRACTIONAL` settings a volume for each segment, probabilities 0..1, which are stored in steps of 1/255.
    flair_headers
        Every slice of the FLAIR, or its one enhanced multi-frame instance, in any order; pixels are not used.
    further_headers
        Those of the other series that the network saw, in any order: they count for the UIDs. None is referenced:
        OHIF 3.12 draws a SEG on whichever of the referenced series it has met first, and none but the FLAIR has its
        planes. The report (SR) names them as evidence.
    settings
        What the file says of the segments, its kind, and whether frames without any voxel are in it.

    Raises
    ------
    ValueError
        A mask without any voxel (`holds_something`; there is no SEG then), other values, or one that does not
        lie on the grid of the headers: mistakes of the caller, not of the input.
    """
    pixels = _pixels([mask] if isinstance(mask, Volume) else mask, settings)
    headers, planes = sorted_headers(flair_headers)
    first = headers[0]
    stacks = [as_source_stack(volume, (int(first.Rows), int(first.Columns)), planes) for volume in pixels]
    further = once(further_headers, {header.SOPInstanceUID for header in headers})
    uids = _uids([*headers, *further], stacks, settings)
    volume = _as_highdicom(stacks, frame_of_reference(first))
    seg = hd.seg.Segmentation(
        source_images=segmented_sources(headers, planes, volume),
        pixel_array=volume,
        segmentation_type=settings.kind.value,
        segment_descriptions=[
            _described(number, segment, settings, *tracking([*headers, *further], settings, segment))
            for number, segment in enumerate(settings.segments, start=1)
        ],
        series_instance_uid=uids["series"],
        series_number=series_number(first, SERIES_NUMBER_OFFSETS[settings.kind]),
        sop_instance_uid=uids["instance"],
        instance_number=1,
        **equipment(settings),
        fractional_type=hd.seg.SegmentationFractionalTypeValues.PROBABILITY,
        max_fractional_value=MAX_FRACTION,
        content_label=_CONTENT_LABELS[settings.kind],
        content_description=settings.warned,
        content_creator_name=CREATOR,
        transfer_syntax_uid=ExplicitVRLittleEndian,
        omit_empty_frames=not settings.all_frames,
        series_description=settings.titled,
        specific_character_set=None,
    )
    seg.BodyPartExamined = settings.body_part
    restore_identity(seg, first)
    replace_clock(seg, first)
    _name_dimensions(seg, uids["dimensions"])
    _name_segment_in_each_frame(seg)
    seg.save_as(path, enforce_file_format=True)


def holds_something(mask: Volume | Sequence[Volume], kind: SegKind) -> bool:
    """Whether a Segmentation of that kind would have a voxel: a probability under 1/510 is stored as none."""
    least = 0.5 / MAX_FRACTION if kind is SegKind.FRACTIONAL else 0.0
    volumes = [mask] if isinstance(mask, Volume) else mask
    return any(bool((volume.array > least).any()) for volume in volumes)


def _pixels(volumes: Sequence[Volume], settings: SegSettings) -> list[Volume]:
    """Bytes of labels; probabilities in the steps that the file has, so that a frame that becomes empty counts so."""
    count, fractional = len(settings.segments), settings.kind is SegKind.FRACTIONAL
    if len(volumes) != (count if fractional else 1):
        raise ValueError(f"expected a volume for each of {count} segments, or one of labels, found {len(volumes)}")
    if not holds_something(volumes, settings.kind):
        raise ValueError("expected a mask that is not empty: an empty result has no SEG")
    if fractional:
        return [_in_steps(volume) for volume in volumes]
    (labels,) = volumes
    if not np.isin(labels.array, range(count + 1)).all():
        raise ValueError(f"expected a mask of labels, 0 to {count}")
    return [Volume(labels.array.astype(np.uint8), labels.affine)]


def _in_steps(volume: Volume) -> Volume:
    if not (volume.array.min() >= 0 and volume.array.max() <= 1):  # not a number is neither
        raise ValueError("expected a mask of probabilities, 0..1")
    steps = np.rint(volume.array.astype(np.float32, copy=False) * np.float32(MAX_FRACTION))
    return Volume(np.divide(steps, np.float32(MAX_FRACTION), out=steps), volume.affine)


def _as_highdicom(stacks: Sequence[Volume], frame_uid: str) -> hd.Volume:
    """Labels as (slice, row, column), probabilities of several segments with these as the last axis."""
    affine = LPS_FROM_RAS @ stacks[0].affine
    if len(stacks) == 1:
        return hd.Volume(stacks[0].array, affine, "PATIENT", frame_of_reference_uid=frame_uid)
    voxels = np.stack([stack.array for stack in stacks], axis=-1)
    return hd.Volume(
        voxels,
        affine,
        "PATIENT",
        frame_of_reference_uid=frame_uid,
        channels={"SegmentNumber": range(1, len(stacks) + 1)},
    )


def _uids(headers: Sequence[Dataset], stacks: Sequence[Volume], settings: SegSettings) -> dict[str, str]:
    """Hashes of inputs, weights, version and all other settings.

    The voxels count for the instance: another processor may change a few, and two different objects must not
    share a UID (PS3.5 chapter 9); a PACS would keep either of them.
    """
    sources = sorted(str(header.SOPInstanceUID) for header in headers)
    uids = {name: derived_uid(f"SEG {name}", *sources, repr(settings)) for name in ("series", "dimensions")}
    voxels = hashlib.sha256(b"".join(stack.array.tobytes() for stack in stacks)).hexdigest()
    return {**uids, "instance": derived_uid("SEG instance", *sources, repr(settings), voxels)}


def _described(
    number: int, segment: Segment, settings: SegSettings, tracking_uid: str, tracking_id: str
) -> hd.seg.SegmentDescription:
    algorithm = hd.AlgorithmIdentificationSequence(
        name=plain_text(settings.algorithm),
        family=codes.cid7162.ArtificialIntelligence,
        version=plain_text(settings.version),
        parameters={"weights_sha256": plain_text(settings.weights_sha256)},
    )
    described = hd.seg.SegmentDescription(
        segment_number=number,
        segment_label=plain_text(segment.label),
        segmented_property_category=coded(segment.category),
        segmented_property_type=coded(segment.type),
        algorithm_type=hd.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=algorithm,
        tracking_uid=tracking_uid,
        tracking_id=tracking_id,
        anatomic_regions=[coded(segment.region)],
        display_color=hd.color.CIELabColor.from_rgb(*segment.color_rgb),
    )
    described.SegmentDescription = settings.described
    if segment.modifier is not None:
        (kind,) = described.SegmentedPropertyTypeCodeSequence
        kind.SegmentedPropertyTypeModifierCodeSequence = [coded(segment.modifier)]
    return described


def _name_dimensions(seg: Dataset, uid: str) -> None:
    """highdicom names the dimensions by chance."""
    for item in (*seg.DimensionOrganizationSequence, *seg.DimensionIndexSequence):
        item.DimensionOrganizationUID = uid


def _name_segment_in_each_frame(seg: Dataset) -> None:
    """Moves the number of the one segment from the shared groups to each frame's (PS3.3 C.7.6.16: in either of them).

    Weasis up to 4.7 looks for it there alone, and shows nothing of a frame without.
    """
    shared = seg.SharedFunctionalGroupsSequence[0]
    if "SegmentIdentificationSequence" not in shared:  # a label map has none, several segments have it there already
        return
    (identification,) = shared.SegmentIdentificationSequence
    del shared.SegmentIdentificationSequence
    for frame in seg.PerFrameFunctionalGroupsSequence:
        frame.SegmentIdentificationSequence = [Dataset(identification)]
