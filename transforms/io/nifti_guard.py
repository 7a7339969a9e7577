"""What a NIfTI file claims of its size, checked: nibabel believes it, and gzip makes much of little."""

from __future__ import annotations

import gzip
import struct
from io import BufferedIOBase
from pathlib import Path

GZIP_SUFFIX = ".gz"
MAX_EXTENSION_BYTES = 1 << 24
"""Of everything between header and voxels (nifti1.h, "extended header"): comments, headers of DICOM, XML."""
MAX_TRAILING_BYTES = 1 << 26
"""Behind the last voxel: padding, or what a program appended."""
_NIFTI1, _NIFTI2 = 348, 540
"""Sizes of the headers, by which they are told apart (nifti1.h, nifti2.h)."""
_FLAG_BYTES = 4
_SMALLEST_EXTENSION = 8
_CHUNK_BYTES = 1 << 20


def opened(path: Path) -> BufferedIOBase:
    """The file's bytes, unpacked where they are gzipped."""
    return gzip.open(path) if path.suffix.lower() == GZIP_SUFFIX else path.open("rb")


def check_extensions(path: Path) -> None:
    """Walk over the extensions without holding one.

    Raises
    ------
    ValueError
        Sizes that no file has; other errors as `gzip`.
    """
    with opened(path) as stream:
        head = stream.read(_NIFTI2 + _FLAG_BYTES)
        order, size, offset = _layout(head)
        flag = head[size : size + 1]
        if offset - size > MAX_EXTENSION_BYTES:
            raise ValueError("the voxels begin too late")
        if flag in (b"", b"\0"):
            return
        at, end = size + _FLAG_BYTES, offset
        while end - at >= 2 * _SMALLEST_EXTENSION:  # as nibabel counts them
            stream.seek(at)
            said = stream.read(4)
            length = struct.unpack(f"{order}i", said)[0] if len(said) == 4 else 0
            if not _SMALLEST_EXTENSION <= length <= end - at:
                raise ValueError("an extension of impossible size")
            at += length


def read_to_the_end(stream: BufferedIOBase) -> None:
    """Read what stands behind the voxels: gzip compares its checksum at the end of the file.

    Raises
    ------
    ValueError
        Far more bytes than any program appends; other errors as `gzip`.
    """
    count = 0
    while chunk := stream.read(_CHUNK_BYTES):
        count += len(chunk)
        if count > MAX_TRAILING_BYTES:
            raise ValueError("far more bytes than voxels")


def _layout(head: bytes) -> tuple[str, int, int]:
    """Byte order, size of the header, and where the voxels begin."""
    for order in ("<", ">"):
        size = struct.unpack(f"{order}i", head[:4])[0] if len(head) >= 4 else 0
        if size == _NIFTI1 and len(head) >= _NIFTI1:
            return order, size, _whole(struct.unpack_from(f"{order}f", head, 108)[0])
        if size == _NIFTI2 and len(head) >= _NIFTI2:
            return order, size, int(struct.unpack_from(f"{order}q", head, 168)[0])
    raise ValueError("no header of NIfTI")


def _whole(value: float) -> int:
    if not 0 <= value < 1 << 31:  # NaN too
        raise ValueError("the voxels begin nowhere")
    return int(value)
