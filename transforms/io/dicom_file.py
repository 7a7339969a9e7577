"""A DICOM file opened as it comes: with or without its first 132 bytes, deflated, and nothing larger than it may be.

pydicom reads any of these, but takes a deflated file of any size, and says nothing of where the pixels lie.
"""

from __future__ import annotations

import io
import os
import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import pydicom
from pydicom.errors import InvalidDicomError
from pydicom.tag import BaseTag
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)
from pydicom.valuerep import VR

from scanweave.errors import Code, InputRefused, Problem

NATIVE_SYNTAXES = frozenset(
    {ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian}
)
"""Transfer syntaxes whose pixels are stored as they are (PS3.5 annex A)."""
MAX_INFLATED_BYTES = 1 << 28
"""Of a deflated file, whose bytes can stand for a thousand times as many; pydicom holds them three times."""
MAX_HEADER_READS = 1 << 22
"""From one header: two or three an element or item. 12,000 frames (fMRI) of 100 elements take 3 million."""
MAX_ITEMS = 1 << 20
"""Of sequences that are taken apart only when they are asked for: three times those of 12,000 frames."""
PREAMBLE_BYTES, PREFIX = 128, b"DICM"
UNDEFINED_LENGTH = 0xFFFFFFFF
_ITEM, _ITEM_BIG = b"\xfe\xff\x00\xe0", b"\xff\xfe\xe0\x00"
"""The mark before each item of a sequence, little and big endian (PS3.5 7.5)."""
_CHUNK_BYTES = 1 << 20
_HEAD_BYTES = 1 << 12
"""Enough to see by the marks or by the first element that a file is DICOM."""
_PIXEL_KEYWORDS = {0x0008: "FloatPixelData", 0x0009: "DoubleFloatPixelData", 0x0010: "PixelData"}
_PIXEL_GROUP = 0x7FE0
_FIRST_ELEMENT_BYTES = 1 << 12
_LONG_FORM = {b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"UN", b"UT"}
"""Value representations with 32 bits of length (PS3.5 7.1.2)."""


@dataclass(frozen=True)
class PixelElement:
    """Where a file holds its pixels: `length` in bytes, None where it is not said because they are encapsulated."""

    keyword: str  # "PixelData", "FloatPixelData" or "DoubleFloatPixelData" (PS3.6)
    offset: int
    length: int | None


@dataclass(frozen=True)
class OpenedFile:
    """A header without its pixels; `pixels` is None where there are none, or where the file is deflated.

    `marked` says whether the file bears DICOM's name ("DICM"), or only looks like a dataset.
    """

    header: pydicom.Dataset
    size: int
    pixels: PixelElement | None
    marked: bool


def read_header(path: Path, tags: Sequence[str | int | BaseTag] | None = None) -> OpenedFile:
    """All of the header, or those `tags`; its `file_meta` names a transfer syntax in any case.

    Raises
    ------
    InvalidDicomError
        The file has no marks of DICOM.
    InputRefused
        TOO_LARGE for a deflated file over `MAX_INFLATED_BYTES`, or for more elements or items than any image has.
    Exception
        pydicom raises nearly anything on damaged bytes.
    """
    with _BoundedFile(io.FileIO(path)) as stream:
        header, marked = _dataset(stream, stop_before_pixels=True, specific_tags=tags)
        _check_items(header, path)
        size = os.fstat(stream.fileno()).st_size
        little = transfer_syntax(header) != ExplicitVRBigEndian
        deflated = transfer_syntax(header) == DeflatedExplicitVRLittleEndian
        pixels = None if deflated else _pixel_element(stream, little=little)
        return OpenedFile(header, size, pixels, marked)


def read_dataset(path: Path) -> pydicom.Dataset:
    """Header and pixels as stored; errors as `read_header`."""
    with _BoundedFile(io.FileIO(path)) as stream:
        return _dataset(stream)[0]


class _BoundedFile(io.BufferedReader):
    """Gives pydicom no more than it can be asked for with reason; InputRefused, TOO_LARGE, for anything more."""

    def __init__(self, raw: io.FileIO) -> None:
        super().__init__(raw)
        self._reads = 0

    def read(self, size: int | None = -1, /) -> bytes:
        if size is None or size < 0:  # pydicom wants all that is left of a deflated file alone, and inflates it
            self._check_inflated_size()
        elif size > _CHUNK_BYTES:  # Python takes the memory of a read first, of 4 GiB for a damaged length
            size = min(size, max(os.fstat(self.fileno()).st_size - self.tell(), 0))
        self._reads += 1
        if self._reads > MAX_HEADER_READS:
            raise self._too_large("fewer elements in one header")
        return super().read(size)

    def _check_inflated_size(self) -> None:
        """Inflated bytes are counted before pydicom holds them all."""
        start = self.tell()
        size = items = 0
        for piece in _inflated(self):
            size, items = size + len(piece), items + piece.count(_ITEM)
            if size > MAX_INFLATED_BYTES:
                raise self._too_large(f"at most {MAX_INFLATED_BYTES} bytes of a deflated file")
            if items > MAX_ITEMS:
                raise self._too_large(f"at most {MAX_ITEMS} items in one header")
        self.seek(start)

    def _too_large(self, expected: str) -> InputRefused:
        return _too_large(expected, Path(self.name))


def transfer_syntax(dataset: pydicom.Dataset) -> str:
    """The UID of how the file is stored, "" where it says nothing that could be one."""
    uid = getattr(dataset, "file_meta", pydicom.Dataset()).get("TransferSyntaxUID", "")
    return str(uid) if isinstance(uid, str) else ""


def _dataset(stream: BinaryIO, **how: object) -> tuple[pydicom.Dataset, bool]:
    """The dataset as pydicom reads it, and whether the file is marked as DICOM."""
    head = stream.read(_HEAD_BYTES)
    marked = head[PREAMBLE_BYTES : PREAMBLE_BYTES + len(PREFIX)] == PREFIX
    if not marked and not _begins_a_dataset(head):
        raise InvalidDicomError("no marks of DICOM")
    try:
        stream.seek(0)
        dataset = pydicom.dcmread(stream, force=not marked, **how)  # type: ignore[arg-type]
    except (InputRefused, MemoryError):
        raise
    except Exception as error:
        if marked:
            raise
        raise InvalidDicomError("no marks of DICOM, and no dataset") from error
    if not transfer_syntax(dataset):  # without meta information pydicom has looked at the bytes
        implicit, little = dataset.original_encoding
        native = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian if little else ExplicitVRBigEndian
        dataset.file_meta.TransferSyntaxUID = native
    return dataset, marked


def _begins_a_dataset(head: bytes) -> bool:
    """Whether a file without preamble begins with a plausible element of group 2 or 8 (old PACS write such files)."""
    if len(head) < 8:
        return False
    for order, implicit_too in (("<", True), (">", False)):
        group, element, short = struct.unpack(f"{order}HH2xH", head[:8])
        if group not in (0x0002, 0x0008) or element > 0x00FF:
            continue
        if head[4:6].isalpha() and head[4:6].decode() in set(VR):
            return short <= _FIRST_ELEMENT_BYTES
        return implicit_too and int(struct.unpack("<I", head[4:8])[0]) <= _FIRST_ELEMENT_BYTES
    return False


def _check_items(header: pydicom.Dataset, path: Path) -> None:
    """Sequences of a stated length are still bytes, in which their items can be counted."""
    held = (header.get_item(tag).value for tag in sorted(header.keys()))  # iterating over it converts each element
    if sum(value.count(_ITEM) + value.count(_ITEM_BIG) for value in held if isinstance(value, bytes)) > MAX_ITEMS:
        raise _too_large(f"at most {MAX_ITEMS} items in one header", path)


def _too_large(expected: str, path: Path) -> InputRefused:
    return InputRefused(Problem(Code.TOO_LARGE, f"expected {expected}, found more", path.name))


def _inflated(stream: BinaryIO) -> Iterator[bytes]:
    """What the rest of the stream inflates to, piece by piece; errors as `zlib`."""
    inflate = zlib.decompressobj(-zlib.MAX_WBITS)
    waiting = stream.read(_CHUNK_BYTES)
    while waiting and not inflate.eof:
        yield inflate.decompress(waiting, _CHUNK_BYTES)
        waiting = inflate.unconsumed_tail or stream.read(_CHUNK_BYTES)


def _pixel_element(stream: BinaryIO, *, little: bool) -> PixelElement | None:
    """pydicom leaves the stream at the element at which it stopped, at the end where there are no pixels."""
    start = stream.tell()
    head = stream.read(12).ljust(12, b"\0")
    order = "<" if little else ">"
    group, element = struct.unpack(f"{order}HH", head[:4])
    if group != _PIXEL_GROUP or element not in _PIXEL_KEYWORDS:
        return None
    # Even a length in implicit VR does not look like these letters: the first of them makes it odd.
    explicit = head[4:6] in _LONG_FORM
    (length,) = struct.unpack(f"{order}I", head[8:12] if explicit else head[4:8])
    offset = start + (12 if explicit else 8)
    return PixelElement(_PIXEL_KEYWORDS[element], offset, None if length == UNDEFINED_LENGTH else length)
