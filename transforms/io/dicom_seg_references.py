"""Which instances a DICOM result is made from."""

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
