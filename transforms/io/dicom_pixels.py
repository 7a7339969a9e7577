"""Headers and stored pixels of the files of a series: plain ones are read here, compressed ones by a process beside."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from pydicom.uid import HTJ2KLossless, HTJ2KLosslessRPCL, JPEG2000Lossless, JPEGLSLossless

from scanweave.errors import Code, InputRefused, Problem, ScanweaveError
from scanweave.transforms.io.dicom_facts import number
from scanweave.transforms.io.dicom_file import NATIVE_SYNTAXES, read_dataset, transfer_syntax
from scanweave.transforms.io.dicom_instance import frame_count
from scanweave.transforms.io.pixel_decoder import CompressedFile, PixelDecoder, Pixels
from scanweave.transforms.io.series import Series

_LOSSLESS = frozenset({JPEGLSLossless, JPEG2000Lossless, HTJ2KLossless, HTJ2KLosslessRPCL})
"""Forms that keep unused bits, of which pydicom does away only with those of the others."""

if TYPE_CHECKING:
    import pydicom


def read_pixels(
    series: Series, decoder: PixelDecoder | None = None
) -> tuple[tuple[pydicom.Dataset, ...], list[Pixels]]:
    """The headers of a series' files, without pixels, and the pixels of each.

    Raises
    ------
    InputRefused
        UNSUPPORTED_FORM, TRUNCATED; as `PixelDecoder.decode`.
    EnvironmentFailure
        As `PixelDecoder.decode`.
    """
    headers, pixels = [], []
    with nullcontext(decoder) if decoder else PixelDecoder() as process:
        for path in series.files:
            header, found = _read(path, process, f"file {path.name} of series {series.label}")
            headers.append(header)
            pixels.append(found)
    return tuple(headers), pixels


def _without_unused_bits(pixels: Pixels, stored: int) -> Pixels:
    """The lowest `stored` bits, with their sign: what stands above them is compressed along with them (PS3.5 8.1.1)."""
    unused = 8 * pixels.itemsize - stored
    return pixels << unused >> unused if 0 < unused < 8 * pixels.itemsize else pixels


def _read(path: Path, decoder: PixelDecoder, where: str) -> tuple[pydicom.Dataset, Pixels]:
    try:
        dataset = read_dataset(path)
        if "PixelData" not in dataset:
            message = "expected whole numbers as pixels (PixelData), found none"
            raise InputRefused(Problem(Code.UNSUPPORTED_FORM, message, where))
        rows, columns = int(number(dataset, "Rows") or 0), int(number(dataset, "Columns") or 0)
        frames = frame_count(dataset)
        if transfer_syntax(dataset) in NATIVE_SYNTAXES:
            pixels = dataset.pixel_array.reshape(frames, rows, columns)
        else:
            pixels = decoder.decode(CompressedFile(path, frames, rows, columns, where))
            if transfer_syntax(dataset) in _LOSSLESS:
                pixels = _without_unused_bits(pixels, int(number(dataset, "BitsStored") or 0))
        del dataset.PixelData
    except (ScanweaveError, MemoryError):
        raise
    except Exception as error:  # pydicom raises nearly anything on damaged bytes
        problem = Problem(Code.TRUNCATED, f"the pixels cannot be decoded ({type(error).__name__})", where)
        raise InputRefused(problem) from error
    return dataset, pixels
