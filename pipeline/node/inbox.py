"""Where instances that came in lie, and what must be true before their sender hears that they are safe."""

from __future__ import annotations

import os
import shutil
import threading
from io import BytesIO
from pathlib import Path

import pydicom

from scanweave.pipeline.disk_refusals import disk_refusals
from scanweave.pipeline.identity import pseudonym
from scanweave.pipeline.node.node_ledger import Kind, NodeLedger
from scanweave.pipeline.whole_file import flush_names, whole_file

GIGABYTE = 10**9
LOCKS = 64
"""Studies share them: one is not removed while instances of it come."""
IMAGE_CLASSES = (
    pydicom.uid.MRImageStorage,
    pydicom.uid.EnhancedMRImageStorage,
    pydicom.uid.LegacyConvertedEnhancedMRImageStorage,
)
"""What a study is made of; none of our results is of these classes, so that none is ever input."""
OTHER_CLASSES = (
    pydicom.uid.SecondaryCaptureImageStorage,
    pydicom.uid.MultiFrameGrayscaleByteSecondaryCaptureImageStorage,
    pydicom.uid.MultiFrameGrayscaleWordSecondaryCaptureImageStorage,
    pydicom.uid.MultiFrameTrueColorSecondaryCaptureImageStorage,
    pydicom.uid.SegmentationStorage,
    pydicom.uid.BasicTextSRStorage,
    pydicom.uid.EnhancedSRStorage,
    pydicom.uid.ComprehensiveSRStorage,
    pydicom.uid.Comprehensive3DSRStorage,
)
"""Taken, for a PACS sends a study as a whole, and never input."""
_TAGS = ["SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID"]


class NotStorable(Exception):
    """An instance that is not what it should be; the text is for the log and names no identifier.

    `understood` where it is DICOM, of a class that is not taken.
    """

    def __init__(self, reason: str, *, understood: bool = False) -> None:
        super().__init__(reason)
        self.understood = understood


class Inbox:
    """Instances below `folder`, a folder a study; by any number of threads."""

    def __init__(self, folder: Path, ledger: NodeLedger, least_free_gb: float) -> None:
        self.folder = folder
        self.ledger = ledger
        self.least_free_gb = least_free_gb
        self._locks = [threading.Lock() for _ in range(LOCKS)]

    @property
    def free_gb(self) -> float:
        """Of the disk."""
        return shutil.disk_usage(self.folder.parent).free / GIGABYTE

    @property
    def has_room(self) -> bool:
        """Whether the disk is far enough from full."""
        return self.free_gb >= self.least_free_gb

    def store(self, content: bytes, sender: str) -> bool:
        """Keep a DICOM file (PS3.10): when this returns it is whole on the disk and in the ledger.

        False where it was there before.

        Raises
        ------
        NotStorable
            No DICOM, no UIDs, a class that is not taken.
        EnvironmentFailure
            DISK_FULL, OUTPUT_UNWRITABLE.
        """
        header = _header(content)
        study, instance = pseudonym(str(header.StudyInstanceUID)), pseudonym(str(header.SOPInstanceUID))
        kind = _kind(header)
        if self.ledger.has_instance(instance):
            return False
        place = self.folder / study
        with (
            self._lock_of(study),
            disk_refusals(place, what="the instance", full="nothing is taken until there is space"),
        ):
            if not place.is_dir():
                place.mkdir(parents=True, exist_ok=True)
                flush_names(self.folder)
            with whole_file(place / f"{instance}.dcm", mark=f".{os.getpid()}-{threading.get_ident()}") as stream:
                stream.write(content)
            flush_names(place)
            self.ledger.receive(instance, study, kind, sender)
        return True

    def remove(self, study: str) -> None:
        """Take a study away, from the ledger first: an instance that the ledger has must be there."""
        with self._lock_of(study):
            self.ledger.forget_input(study)
            shutil.rmtree(self.folder / study, ignore_errors=True)

    def clear(self) -> None:
        """Before anybody sends: take away what a node that was killed had not acknowledged, or was removing."""
        for place in (entry for entry in self.folder.iterdir() if entry.is_dir()):
            known = {f"{instance}.dcm" for instance in self.ledger.instances(place.name)}
            for file in place.iterdir():
                if file.name not in known and not file.is_dir():
                    file.unlink(missing_ok=True)
            if not known:
                shutil.rmtree(place, ignore_errors=True)

    def _lock_of(self, study: str) -> threading.Lock:
        return self._locks[hash(study) % LOCKS]


def _header(content: bytes) -> pydicom.Dataset:
    try:
        header = pydicom.dcmread(BytesIO(content), stop_before_pixels=True, specific_tags=_TAGS)
        missing = [tag for tag in _TAGS if not isinstance(header.get(tag), str) or not header[tag].value]
    except Exception as error:  # pydicom raises nearly anything on damaged bytes
        raise NotStorable(f"the header cannot be read ({type(error).__name__})") from error
    if missing:
        raise NotStorable(f"the header lacks {', '.join(missing)}")
    return header


def _kind(header: pydicom.Dataset) -> Kind:
    if header.SOPClassUID in IMAGE_CLASSES:
        return Kind.IMAGE
    if header.SOPClassUID in OTHER_CLASSES:
        return Kind.OTHER
    raise NotStorable("this kind of instance is not taken", understood=True)
