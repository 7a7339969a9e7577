"""Which instances a DICOM Segmentation says it comes from."""

from __future__ import annotations

from collections.abc import Sequence

from pydicom.dataset import Dataset

from scanweave.transforms.io.dicom_derived import integer


def once(headers: Sequence[Dataset], known: set[str]) -> list[Dataset]:
    """Each instance once, without the `known`, in an order of their own."""
    others = {h.SOPInstanceUID: h for h in headers if h.SOPInstanceUID not in known}
    return sorted(others.values(), key=_series_and_number)


def _series_and_number(header: Dataset) -> tuple[str, int, str]:
    return header.SeriesInstanceUID, integer(header, "InstanceNumber"), header.SOPInstanceUID


def mark_registered(seg: Dataset, flair_uids: set[str]) -> None:
    """Registration moved the pixels of the other series: their places are not preserved."""
    for frame in seg.PerFrameFunctionalGroupsSequence:
        for derivation in frame.DerivationImageSequence:
            for source in derivation.SourceImageSequence:
                if source.ReferencedSOPInstanceUID not in flair_uids:
                    source.SpatialLocationsPreserved = "NO"


def reference_other_studies(seg: Dataset, headers: Sequence[Dataset]) -> None:
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
