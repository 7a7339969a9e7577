"""A mask on the FLAIR's own grid as a DICOM Segmentation (PS3.3 A.51): BINARY, Explicit VR little endian.

Nothing in the file comes from a clock or a random number: dates are the source's, UIDs are hashes. The same
run twice gives the same bytes, and a PACS keeps one result.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Sequence
from pathlib import Path

import highdicom as hd
import numpy as np
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import ExplicitVRLittleEndian

from scanweave.transforms.geometry import LPS_FROM_RAS, Volume
from scanweave.transforms.io.dicom_seg_grid import as_source_stack
from scanweave.transforms.io.dicom_seg_settings import Concept, SegSettings, plain_text
from scanweave.transforms.io.dicom_seg_sources import (
    frame_of_reference,
    referenced_source,
    segmented_sources,
    sorted_headers,
    valid,
)
from scanweave.transforms.io.uids import derived_uid

__all__ = ["Concept", "SegSettings", "write_dicom_seg"]

SERIES_NUMBER_OFFSET = 1000
"""Added to the FLAIR's SeriesNumber."""
UNKNOWN_DATE, UNKNOWN_TIME = "19000101", "000000"
"""Stand in where a source without any date meets an attribute that must not be empty."""


def write_dicom_seg(
    path: Path,
    mask: Volume,
    flair_headers: Sequence[Dataset],
    further_headers: Sequence[Dataset],
    settings: SegSettings,
) -> None:
    """Write `mask` as a DICOM Segmentation of the FLAIR series; frames without any voxel are left out.

    Parameters
    ----------
    path
        The file, overwritten where it exists.
    mask
        0 and 1 (or bool) on the grid of the FLAIR, axes in any order and direction.
    flair_headers
        Every slice of the FLAIR, or its one enhanced multi-frame instance, in any order; pixels are not used.
    further_headers
        Those of the other series that the network saw, in any order: referenced only, once each. Slices of
        the FLAIR among them (it stood in for a series) count as the FLAIR's.
    settings
        What the file says of the segment.

    Raises
    ------
    ValueError
        An empty mask (there is no SEG then), values other than 0 and 1, or a mask that does not lie on the
        grid of the headers: mistakes of the caller, not of the input.
    """
    if not np.isin(mask.array, (0, 1)).all() or not mask.array.any():
        raise ValueError("expected a mask of 0 and 1, not empty: an empty result has no SEG")
    headers, planes = sorted_headers(flair_headers)
    first = headers[0]
    stack = as_source_stack(mask, (int(first.Rows), int(first.Columns)), planes)
    further = _once(further_headers, {header.SOPInstanceUID for header in headers})
    uids = _uids([*headers, *further], stack, settings)
    affine = LPS_FROM_RAS @ stack.affine
    volume = hd.Volume(stack.array, affine, "PATIENT", frame_of_reference_uid=frame_of_reference(first))
    study = first.StudyInstanceUID
    seg = hd.seg.Segmentation(
        source_images=segmented_sources(headers, planes, volume),
        pixel_array=volume,
        segmentation_type=hd.seg.SegmentationTypeValues.BINARY,
        segment_descriptions=[_segment(settings, uids["tracking"])],
        series_instance_uid=uids["series"],
        series_number=SERIES_NUMBER_OFFSET + _number(first, "SeriesNumber"),
        sop_instance_uid=uids["instance"],
        instance_number=1,
        manufacturer="scanweave",
        manufacturer_model_name=plain_text(settings.algorithm),
        software_versions=plain_text(settings.version),
        device_serial_number=plain_text(settings.weights_sha256)[:16],
        content_label="SEGMENTATION",
        content_description=settings.warned,
        content_creator_name="scanweave^",
        transfer_syntax_uid=ExplicitVRLittleEndian,
        omit_empty_frames=True,
        further_source_images=[referenced_source(h) for h in further if h.StudyInstanceUID == study],
        series_description=settings.titled,
        specific_character_set=None,
    )
    seg.BodyPartExamined = settings.body_part
    _restore_identity(seg, first)
    _replace_clock_and_chance(seg, first, uids["dimensions"])
    _mark_registered(seg, {header.SOPInstanceUID for header in headers})
    _reference_other_studies(seg, [h for h in further if h.StudyInstanceUID != study])
    seg.save_as(path, enforce_file_format=True)


def _uids(headers: Sequence[Dataset], stack: Volume, settings: SegSettings) -> dict[str, str]:
    """Hashes of inputs, weights, version and all other settings.

    The mask counts for the instance: another processor may change a few voxels, and two different objects
    must not share a UID (PS3.5 chapter 9); a PACS would keep either of them.
    """
    made_from = (*sorted(str(header.SOPInstanceUID) for header in headers), repr(settings))
    uids = {name: derived_uid(f"SEG {name}", *made_from) for name in ("series", "tracking", "dimensions")}
    voxels = hashlib.sha256(np.packbits(stack.array).tobytes()).hexdigest()
    return {**uids, "instance": derived_uid("SEG instance", *made_from, voxels)}


def _segment(settings: SegSettings, tracking_uid: str) -> hd.seg.SegmentDescription:
    algorithm = hd.AlgorithmIdentificationSequence(
        name=plain_text(settings.algorithm),
        family=codes.cid7162.ArtificialIntelligence,
        version=plain_text(settings.version),
        parameters={"weights_sha256": plain_text(settings.weights_sha256)},
    )
    segment = hd.seg.SegmentDescription(
        segment_number=1,
        segment_label=plain_text(settings.label),
        segmented_property_category=_coded(settings.category),
        segmented_property_type=_coded(settings.type),
        algorithm_type=hd.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=algorithm,
        tracking_uid=tracking_uid,
        tracking_id=plain_text(settings.tracking_id or f"{settings.label[:40]} {tracking_uid[-8:]}"),
        anatomic_regions=[_coded(settings.region)],
        display_color=hd.color.CIELabColor.from_rgb(*settings.color_rgb),
    )
    segment.SegmentDescription = settings.described
    return segment


def _coded(concept: Concept) -> hd.sr.CodedConcept:
    return hd.sr.CodedConcept(concept.value, concept.scheme, concept.meaning)


def _once(headers: Sequence[Dataset], known: set[str]) -> list[Dataset]:
    """Each instance once, without the `known`, in an order of their own."""
    others = {h.SOPInstanceUID: h for h in headers if h.SOPInstanceUID not in known}
    return sorted(others.values(), key=_series_and_number)


def _series_and_number(header: Dataset) -> tuple[str, int, str]:
    return header.SeriesInstanceUID, _number(header, "InstanceNumber"), header.SOPInstanceUID


def _number(header: Dataset, keyword: str) -> int:
    with contextlib.suppress(TypeError, ValueError):
        return max(int(header.get(keyword)), 0)
    return 0


def _restore_identity(seg: Dataset, first: Dataset) -> None:
    """The character set and the patient's name as the source has them, past highdicom's checks."""
    if "SpecificCharacterSet" in first:
        seg.SpecificCharacterSet = first.SpecificCharacterSet
    seg.PatientName = first.get("PatientName") or ""


def _replace_clock_and_chance(seg: Dataset, first: Dataset, dimensions_uid: str) -> None:
    date, time = _moment(first)
    seg.ContentDate = seg.InstanceCreationDate = date
    seg.ContentTime = seg.InstanceCreationTime = time
    seg.SeriesDate = first.SeriesDate if valid("SeriesDate", first.get("SeriesDate")) else date
    seg.SeriesTime = first.SeriesTime if valid("SeriesTime", first.get("SeriesTime")) else time
    for item in (*seg.DimensionOrganizationSequence, *seg.DimensionIndexSequence):
        item.DimensionOrganizationUID = dimensions_uid
    for item in seg.ContributingEquipmentSequence:
        if item.get("ManufacturerModelName") == "highdicom":
            del item.ContributionDateTime
    if first.get("TimezoneOffsetFromUTC"):
        seg.TimezoneOffsetFromUTC = first.TimezoneOffsetFromUTC


def _moment(header: Dataset) -> tuple[str, str]:
    """The source's date and time, the most particular that it has."""
    for kind in ("Content", "Acquisition", "Series", "Study"):
        date, time = header.get(f"{kind}Date"), header.get(f"{kind}Time")
        if valid("Date", date):
            return str(date), str(time) if valid("Time", time) else UNKNOWN_TIME
    return UNKNOWN_DATE, UNKNOWN_TIME


def _mark_registered(seg: Dataset, flair_uids: set[str]) -> None:
    """Registration moved the pixels of the other series: their places are not preserved."""
    for frame in seg.PerFrameFunctionalGroupsSequence:
        for derivation in frame.DerivationImageSequence:
            for source in derivation.SourceImageSequence:
                if source.ReferencedSOPInstanceUID not in flair_uids:
                    source.SpatialLocationsPreserved = "NO"


def _reference_other_studies(seg: Dataset, headers: Sequence[Dataset]) -> None:
    """Sources of other studies stand apart in the Common Instance Reference module (PS3.3 C.12.2)."""
    studies: dict[str, dict[str, list[Dataset]]] = {}
    for header in headers:
        item = Dataset()
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = header.SOPClassUID, header.SOPInstanceUID
        seg.SourceImageSequence.append(item)
        studies.setdefault(header.StudyInstanceUID, {}).setdefault(header.SeriesInstanceUID, []).append(item)
    for study_uid, series in studies.items():
        study = Dataset()
        study.StudyInstanceUID, study.ReferencedSeriesSequence = study_uid, [Dataset() for _ in series]
        for item, (uid, instances) in zip(study.ReferencedSeriesSequence, series.items(), strict=True):
            item.SeriesInstanceUID, item.ReferencedInstanceSequence = uid, instances
        others = seg.get("StudiesContainingOtherReferencedInstancesSequence") or []
        seg.StudiesContainingOtherReferencedInstancesSequence = [*others, study]
