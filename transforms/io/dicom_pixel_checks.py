"""What a header says of the pixels of its file, and whether the file can hold them: no pixel is decoded here."""

from __future__ import annotations

import math
import struct
from pathlib import Path

import pydicom
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian, JPEGExtended12Bit

from scanweave.errors import Code, Problem
from scanweave.transforms.io.dicom_facts import number, text, texts
from scanweave.transforms.io.dicom_file import (
    NATIVE_SYNTAXES,
    UNDEFINED_LENGTH,
    OpenedFile,
    PixelElement,
    transfer_syntax,
)

BITS_ALLOCATED = (8, 16, 32)
MOSAIC_TYPES = frozenset({"MOSAIC", "VFRAME"})
"""Of ImageType: Siemens and United Imaging tile all slices of a volume into one image (dcm2niix issues 225, 553)."""
SIEMENS_BLOCK, SIEMENS_CREATOR, SIEMENS_MOSAIC_SLICES = "00190010", "SIEMENS MR HEADER", "0019100A"
"""The private element with the number of slices in a mosaic, and who must have reserved its block (PS3.5 7.8.1)."""
_EIGHT_BIT_DECODERS = frozenset({"gdcm", "pillow"})
"""pydicom's plug-ins that take JPEG extended with 8 bits only."""
_ITEM, _DELIMITER = (0xFFFE, 0xE000), (0xFFFE, 0xE0DD)
MAX_OTHER_BYTES = 1 << 28
"""Of a file beside its pixels: the header of the largest enhanced images has a fifth of it. All of it is read."""
_MAX_FRAGMENTS = 1 << 16
"""Fragments whose lengths are looked at; the decoder meets the rest."""


def pixel_problems(path: Path, opened: OpenedFile) -> list[Problem]:
    """All reasons why the pixels of this file cannot be what its header says, or cannot be read here."""
    header, name = opened.header, path.name
    syntax = transfer_syntax(header)
    problems = [*_form_problems(header, name), *_size_problems(header, opened.size, name)]
    if unread := unread_syntax(header):
        return [Problem(Code.UNSUPPORTED_SYNTAX, unread, name), *problems]
    if syntax == DeflatedExplicitVRLittleEndian:  # read to its end to get at the header: nothing is missing
        return problems
    element = opened.pixels
    if element is None:
        return [Problem(Code.TRUNCATED, "the file ends before its pixels", name), *problems]
    if element.keyword != "PixelData":
        message = f"expected whole numbers (PixelData), found decimals ({element.keyword})"
        return [Problem(Code.UNSUPPORTED_FORM, message, name), *problems]
    if syntax in NATIVE_SYNTAXES:
        missing = _native_problem(header, element, opened.size)
    else:
        missing = _encapsulated_problem(path, element, opened.size)
    return ([Problem(Code.TRUNCATED, missing, name)] if missing else []) + problems


def unread_syntax(header: pydicom.Dataset) -> str:
    """Why no installed decoder reads these pixels, "" where one does."""
    from pydicom.pixels import get_decoder

    syntax = transfer_syntax(header)
    if syntax in NATIVE_SYNTAXES:
        return ""
    name = UID(syntax).name
    try:
        decoder = get_decoder(UID(syntax))
    except NotImplementedError:
        return f"no decoder is known for the transfer syntax {name}"
    if not decoder.is_available:
        return f"no decoder is installed for the transfer syntax {name}"
    bits = number(header, "BitsStored")
    if syntax == JPEGExtended12Bit and bits != 8 and set(decoder.available_plugins) <= _EIGHT_BIT_DECODERS:
        return f"no installed decoder reads {bits or 0:g} bits in the transfer syntax {name}"
    return ""


def decoded_bytes(header: pydicom.Dataset) -> int:
    """Of all frames of one file, by its header."""
    counts = [int(number(header, key) or 0) for key in ("Rows", "Columns", "BitsAllocated")]
    factors = [max(int(number(header, key) or 1), 1) for key in ("SamplesPerPixel", "NumberOfFrames")]
    return math.prod(counts) * math.prod(factors) // 8


def _form_problems(header: pydicom.Dataset, name: str) -> list[Problem]:
    """Pixels of a kind that is not read, by what is said of each."""
    bits, stored, high, signed = (
        number(header, key) for key in ("BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation")
    )
    found: list[tuple[Code, str]] = []
    if bits is None or stored is None or signed not in (0, 1) or not 1 <= stored <= max(bits, 1):
        message = "expected BitsAllocated, BitsStored and PixelRepresentation, found values that make no pixel"
        found.append((Code.UNREADABLE, message))
    elif bits not in BITS_ALLOCATED:
        found.append((Code.UNSUPPORTED_FORM, f"expected 8, 16 or 32 bits a pixel, found {bits:g}"))
    elif stored < bits and high is not None and high != stored - 1:
        message = f"expected {stored:g} bits a pixel in the lowest places, found HighBit {high:g}"
        found.append((Code.UNSUPPORTED_FORM, message))
    if slices := _mosaic_slices(header):
        message = f"a mosaic ({slices} tiled into one image): its slices' places are not read"
        found.append((Code.UNSUPPORTED_FORM, message))
    if (number(header, "InConcatenationTotalNumber") or 1) > 1:
        message = "a part of a concatenation: an enhanced image spread over several files"
        found.append((Code.UNSUPPORTED_FORM, message))
    return [Problem(code, message, name) for code, message in found]


def _size_problems(header: pydicom.Dataset, size: int, name: str) -> list[Problem]:
    """A file far larger than its pixels, compressed or not: memory is asked for by the matrix, and all is read."""
    most = decoded_bytes(header) + MAX_OTHER_BYTES
    if size <= most:
        return []
    message = f"expected a file of at most {most >> 20} MB with such a matrix, found {size >> 20} MB"
    return [Problem(Code.TOO_LARGE, message, name)]


def _mosaic_slices(header: pydicom.Dataset) -> str:
    """How many slices the one image holds, in words; "" for an image of one slice, or of frames."""
    if (number(header, "NumberOfFrames") or 1) > 1:  # Siemens' enhanced images keep the word, and no mosaic
        return ""
    count = number(header, SIEMENS_MOSAIC_SLICES) if text(header, SIEMENS_BLOCK).strip() == SIEMENS_CREATOR else None
    if count is not None and count > 1:
        return f"{count:g} slices"
    return "slices" if MOSAIC_TYPES & set(texts(header, "ImageType")) else ""


def _native_problem(header: pydicom.Dataset, element: PixelElement, size: int) -> str:
    """Uncompressed pixels have a known length: a shorter file is a broken copy."""
    if element.length is None:
        return "the file does not say how its pixels are compressed"
    expected, present = decoded_bytes(header), max(size - element.offset, 0)
    if min(present, element.length) >= expected:
        return ""
    return f"expected {expected} bytes of pixels, found {min(present, element.length)}"


def _encapsulated_problem(path: Path, element: PixelElement, size: int) -> str:
    """Compressed pixels lie in fragments of known lengths (PS3.5 A.4): each must end within the file."""
    with path.open("rb") as stream:
        stream.seek(element.offset)
        for _ in range(_MAX_FRAGMENTS):
            head = stream.read(8)
            if not head and stream.tell() > element.offset:
                return ""  # only the mark of the end is lost
            if len(head) < 8:
                return "the file ends within its compressed pixels"
            tag, length = struct.unpack("<HH", head[:4]), struct.unpack("<I", head[4:])[0]
            if tag == _DELIMITER:
                return ""
            if tag != _ITEM or length == UNDEFINED_LENGTH:
                return "the compressed pixels are damaged"
            if stream.seek(length, 1) > size:
                return "the file ends within its compressed pixels"
    return ""
