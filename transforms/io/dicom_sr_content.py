"""What a measurement report says: the content tree of TID 1500 (PS3.16), as highdicom's templates build it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import highdicom as hd
from highdicom.sr import CodedConcept
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes

from scanweave import RESEARCH_NOTICE
from scanweave.transforms.io.dicom_derived import MANUFACTURER, coded
from scanweave.transforms.io.dicom_seg_grid import Plane
from scanweave.transforms.io.dicom_seg_settings import ST_LENGTH, SegSettings, plain_text
from scanweave.transforms.io.dicom_sr_places import line_on_slice
from scanweave.transforms.io.uids import derived_uid
from scanweave.transforms.measure_mask import ML_DECIMALS, MM_DECIMALS, Diameters, MaskSize
from scanweave.transforms.segments import Segment

QUALITATIVE_EVALUATIONS = CodedConcept("C0034375", "UMLS", "Qualitative Evaluations")
"""The container of TID 1500 for what is said in words."""
SOURCE = CodedConcept("260753009", "SCT", "Source")
"""TID 1601 gives an image no name; highdicom reads none without, and gives it this one."""
NOTHING = "Nothing was segmented: the mask is empty"


@dataclass(frozen=True)
class ReportedSeg:
    """The Segmentation that holds the mask."""

    sop_class_uid: str
    sop_instance_uid: str

    @classmethod
    def of(cls, seg: Dataset) -> ReportedSeg:
        """Of its header."""
        return cls(str(seg.SOPClassUID), str(seg.SOPInstanceUID))


@dataclass(frozen=True)
class Finding:
    """One segment: its size, the names under which it is followed, its `number` in the Segmentation."""

    size: MaskSize
    segment: Segment
    tracking_uid: str
    tracking_id: str
    number: int


@dataclass(frozen=True, eq=False)
class Reported:
    """All that goes into the report; `headers` and `planes` of the FLAIR are those of `sorted_headers`."""

    findings: Sequence[Finding]
    headers: Sequence[Dataset]
    planes: Sequence[Plane]
    settings: SegSettings
    seg: ReportedSeg | None


def sr_content(reported: Reported) -> hd.sr.MeasurementReport:
    """The report: each segment as a whole, each of its parts where there are several, and in words what to mind.

    The whole is measured on its segment (TID 1411), without one on the FLAIR's images (TID 1501), and so are parts.
    """
    report = hd.sr.MeasurementReport(
        observation_context=hd.sr.ObservationContext(observer_device_context=_observer(reported.settings)),
        procedure_reported=codes.cid100.MRIUnspecifiedBodyRegion,
        imaging_measurements=[
            group for finding in reported.findings for group in (_whole(finding, reported), *_parts(finding, reported))
        ],
    )
    root = report[0].ContentSequence
    measurements = root.pop()
    root.extend([_image_library(reported.headers), measurements, _words(reported)])
    return report


def _observer(settings: SegSettings) -> hd.sr.ObserverContext:
    made_by = (plain_text(settings.algorithm), plain_text(settings.version), plain_text(settings.weights_sha256))
    return hd.sr.ObserverContext(
        observer_type=codes.DCM.Device,
        observer_identifying_attributes=hd.sr.DeviceObserverIdentifyingAttributes(
            uid=derived_uid("device observer", *made_by),
            name=MANUFACTURER,
            manufacturer_name=MANUFACTURER,
            model_name=made_by[0],
            serial_number=made_by[2][:16],
        ),
    )


def _whole(
    finding: Finding, reported: Reported
) -> hd.sr.VolumetricROIMeasurementsAndQualitativeEvaluations | hd.sr.MeasurementsAndQualitativeEvaluations:
    size = finding.size
    names = hd.sr.TrackingIdentifier(finding.tracking_uid, finding.tracking_id)
    amounts = [
        _volume(size.volume_ml),
        *([] if finding.segment.is_structure else [_count(size)]),
    ]
    lines = _lines(size.diameters, reported)
    if reported.seg is None:
        images = [hd.sr.SourceImageForMeasurementGroup(h.SOPClassUID, h.SOPInstanceUID) for h in reported.headers]
        return _group(names, amounts + lines, finding.segment, reported.settings, images)
    segment = hd.sr.ReferencedSegment(
        reported.seg.sop_class_uid,
        reported.seg.sop_instance_uid,
        finding.number,
        source_series=hd.sr.SourceSeriesForSegmentation(reported.headers[0].SeriesInstanceUID),
    )
    group = hd.sr.VolumetricROIMeasurementsAndQualitativeEvaluations(
        names, referenced_segment=segment, measurements=amounts, **_finding(finding.segment, reported.settings)
    )
    for line in lines:  # past highdicom's check: their ends are an extension of TID 1411, which is extensible
        group[0].ContentSequence.extend(line)
    return group


def _parts(finding: Finding, reported: Reported) -> list[hd.sr.MeasurementsAndQualitativeEvaluations]:
    """One group a part, where there are several."""
    if finding.size.count < 2:
        return []
    groups = []
    for number, part in enumerate(finding.size.parts, start=1):
        names = hd.sr.TrackingIdentifier(
            derived_uid("SR part", finding.tracking_uid, str(number)), f"{finding.tracking_id} part {number}"
        )
        measured = [_volume(part.volume_ml), *_lines(part.diameters, reported)]
        groups.append(_group(names, measured, finding.segment, reported.settings))
    return groups


def _group(
    names: hd.sr.TrackingIdentifier,
    measurements: Sequence[hd.sr.Measurement],
    segment: Segment,
    settings: SegSettings,
    images: Sequence[hd.sr.SourceImageForMeasurementGroup] | None = None,
) -> hd.sr.MeasurementsAndQualitativeEvaluations:
    return hd.sr.MeasurementsAndQualitativeEvaluations(
        names, measurements=measurements, source_images=images, **_finding(segment, settings)
    )


def _finding(segment: Segment, settings: SegSettings) -> dict[str, Any]:
    """What was measured, where, and by which algorithm (TID 4019)."""
    return {
        "finding_category": coded(segment.category),
        "finding_type": coded(segment.type),
        "finding_sites": [_site(segment)],
        "algorithm_id": hd.sr.AlgorithmIdentification(
            name=plain_text(settings.algorithm),
            version=plain_text(settings.version),
            parameters=[f"weights_sha256: {plain_text(settings.weights_sha256)}"],
            family=codes.cid7162.ArtificialIntelligence,
        ),
    }


def _site(segment: Segment) -> hd.sr.FindingSite:
    """Of a part of a structure that part, so that measurements tell the parts apart."""
    if segment.modifier is None:
        return hd.sr.FindingSite(coded(segment.region))
    return hd.sr.FindingSite(coded(segment.type), topographical_modifier=coded(segment.modifier))


def _volume(volume_ml: float) -> hd.sr.Measurement:
    """1 ml is 1 cm3."""
    return hd.sr.Measurement(
        codes.SCT.Volume,
        round(volume_ml, ML_DECIMALS),
        codes.UCUM.CubicCentimeter,
        method=codes.DCM.SumOfSegmentedVoxelMethodForVolume,
    )


def _count(size: MaskSize) -> hd.sr.Measurement:
    return hd.sr.Measurement(codes.SCT.NumberOfLesions, size.count, codes.UCUM.NoUnits)


def _lines(diameters: Diameters | None, reported: Reported) -> list[hd.sr.Measurement]:
    """The long and the short axis, each with its ends on the slice; none of an empty mask."""
    if diameters is None:
        return []
    lines = []
    for name, length, ends in (
        (codes.SCT.LongAxis, diameters.long_mm, diameters.long_ends),
        (codes.SCT.ShortAxis, diameters.short_mm, diameters.short_ends),
    ):
        drawn = line_on_slice(reported.headers, reported.planes, ends)
        frames = None if drawn.frame is None else [drawn.frame]
        image = hd.sr.SourceImageForRegion(drawn.image.SOPClassUID, drawn.image.SOPInstanceUID, frames)
        place = hd.sr.CoordinatesForMeasurement(hd.sr.GraphicTypeValues.POLYLINE, drawn.ends, image)
        length = round(length, MM_DECIMALS)
        lines.append(hd.sr.Measurement(name, length, codes.UCUM.Millimeter, referenced_coordinates=[place]))
    return lines


def _image_library(headers: Sequence[Dataset]) -> hd.sr.ContainerContentItem:
    """The FLAIR's images by name (TID 1600); what they are like stands in themselves."""
    contains = hd.sr.RelationshipTypeValues.CONTAINS
    modality = hd.sr.CodeContentItem(
        codes.DCM.Modality, codes.cid29.MagneticResonance, hd.sr.RelationshipTypeValues.HAS_ACQ_CONTEXT
    )
    images = [
        hd.sr.ImageContentItem(SOURCE, h.SOPClassUID, h.SOPInstanceUID, relationship_type=contains) for h in headers
    ]
    group = hd.sr.ContainerContentItem(codes.DCM.ImageLibraryGroup, relationship_type=contains)
    group.ContentSequence = hd.sr.ContentSequence([modality, *images])
    library = hd.sr.ContainerContentItem(codes.DCM.ImageLibrary, template_id="1600", relationship_type=contains)
    library.ContentSequence = hd.sr.ContentSequence([group])
    return library


def _words(reported: Reported) -> hd.sr.ContainerContentItem:
    """The research notice, every flag, every substituted role, how diameters were taken."""
    settings = reported.settings
    sentences = [RESEARCH_NOTICE]
    sentences += [f"REVIEW: {flag}" for flag in settings.flags]
    sentences += [f"Another series stands in for: {role}" for role in settings.substituted]
    sentences += [settings.notes] if settings.notes else []
    sentences.append(_how([finding.size for finding in reported.findings]))
    contains = hd.sr.RelationshipTypeValues.CONTAINS
    words = hd.sr.ContainerContentItem(QUALITATIVE_EVALUATIONS, relationship_type=contains)
    words.ContentSequence = hd.sr.ContentSequence(
        [hd.sr.TextContentItem(codes.DCM.Comment, plain_text(text, ST_LENGTH), contains) for text in sentences]
    )
    return words


def _how(sizes: Sequence[MaskSize]) -> str:
    if not any(size.count for size in sizes):
        return NOTHING
    cut = next((size for size in sizes if size.count > len(size.parts)), None)
    listed = f", of which the {len(cut.parts)} largest are listed" if cut else ""
    return (
        f"Axes are measured within one {sizes[0].plane} slice of the source series and one connected region of it, "
        f"from outline to outline; lesions are the connected parts of the mask{listed}"
    )
