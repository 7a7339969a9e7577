"""A DICOM file opened as it comes: with or without its first 132 bytes, deflated, and nothing larger than it may be.

pydicom reads any of these, but takes a deflated file of any size, and says nothing of where the pixels lie.
"""

from __future__ import annotations

import io
import os
import struct
import zlib
from collections.abc import Sequence
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
MAX_INFLATED_BYTES = 1 << 30
"""Of a deflated file, whose bytes can stand for a thousand times as many: that of the largest enhanced images."""
PREAMBLE_BYTES, PREFIX = 128, b"DICM"
DEFLATE_LARGEST_RATIO = 1032
"""Bytes that deflate makes of one at most (RFC 1951: 258 bytes from 2 bits)."""
UNDEFINED_LENGTH = 0xFFFFFFFF
_CHUNK_BYTES = 1 << 20
_META_BYTES = 1 << 12
"""Where the name of the syntax is looked for if the file meta information does not say how long it is."""
_GROUP_LENGTH = b"\x02\x00\x00\x00UL\x04\x00"
"""Tag, VR and size of its first element (PS3.10 7.1)."""
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
        TOO_LARGE for a deflated file over `MAX_INFLATED_BYTES`.
    Exception
        pydicom raises nearly anything on damaged bytes.
    """
    with _BoundedFile(io.FileIO(path)) as stream:
        header, marked = _dataset(stream, path, stop_before_pixels=True, specific_tags=tags)
        size = os.fstat(stream.fileno()).st_size
        little = transfer_syntax(header) != ExplicitVRBigEndian
        deflated = transfer_syntax(header) == DeflatedExplicitVRLittleEndian
        pixels = None if deflated else _pixel_element(stream, little=little)
        return OpenedFile(header, size, pixels, marked)


def read_dataset(path: Path) -> pydicom.Dataset:
    """Header and pixels as stored; errors as `read_header`."""
    with _BoundedFile(io.FileIO(path)) as stream:
        return _dataset(stream, path)[0]


class _BoundedFile(io.BufferedReader):
    """Asked for no more than is left: Python takes the memory of a read first, of 4 GiB for a damaged length."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > _CHUNK_BYTES:
            size = min(size, max(os.fstat(self.fileno()).st_size - self.tell(), 0))
        return super().read(size)


def transfer_syntax(dataset: pydicom.Dataset) -> str:
    """The UID of how the file is stored, "" where it says nothing that could be one."""
    uid = getattr(dataset, "file_meta", pydicom.Dataset()).get("TransferSyntaxUID", "")
    return str(uid) if isinstance(uid, str) else ""


def _dataset(stream: BinaryIO, path: Path, **how: object) -> tuple[pydicom.Dataset, bool]:
    """The dataset as pydicom reads it, and whether the file is marked as DICOM."""
    head = stream.read(_META_BYTES)
    marked = head[PREAMBLE_BYTES : PREAMBLE_BYTES + len(PREFIX)] == PREFIX
    if not marked and not _begins_a_dataset(head):
        raise InvalidDicomError("no marks of DICOM")
    try:
        _check_inflated_size(stream, head, PREAMBLE_BYTES + len(PREFIX) if marked else 0, path)
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


def _check_inflated_size(stream: BinaryIO, head: bytes, start: int, path: Path) -> None:
    """Inflated bytes are counted before pydicom holds them all; `start` is where the meta information begins."""
    grouped = head[start : start + len(_GROUP_LENGTH)] == _GROUP_LENGTH and len(head) >= start + 12
    dataset = start + 12 + int(struct.unpack_from("<I", head, start + 8)[0]) if grouped else _META_BYTES
    stream.seek(0)
    if DeflatedExplicitVRLittleEndian.encode() not in stream.read(min(dataset, _CHUNK_BYTES)):
        return
    if grouped:
        stream.seek(dataset)
        inflated = _inflated_size(stream)
    else:
        inflated = os.fstat(stream.fileno()).st_size * DEFLATE_LARGEST_RATIO
    if inflated > MAX_INFLATED_BYTES:
        message = f"expected at most {MAX_INFLATED_BYTES} bytes of a deflated file, found more"
        raise InputRefused(Problem(Code.TOO_LARGE, message, path.name))


def _inflated_size(stream: BinaryIO) -> int:
    """Bytes that the rest of the stream inflates to, counted no further than the limit; errors as `zlib`."""
    inflate = zlib.decompressobj(-zlib.MAX_WBITS)
    count, waiting = 0, stream.read(_CHUNK_BYTES)
    while waiting and not inflate.eof and count <= MAX_INFLATED_BYTES:
        count += len(inflate.decompress(waiting, _CHUNK_BYTES))
        waiting = inflate.unconsumed_tail or stream.read(_CHUNK_BYTES)
    return count


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
