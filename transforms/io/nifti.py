"""NIfTI in and out: voxels with the affine that the header vouches for."""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from scanweave.errors import Code, InputRefused, Problem
from scanweave.transforms.geometry import Affine, Grid, Volume
from scanweave.transforms.io.memory import require_memory
from scanweave.transforms.io.nifti_guard import GZIP_SUFFIX, check_extensions, opened, read_to_the_end
from scanweave.transforms.io.volume_limits import size_problem

if TYPE_CHECKING:
    import nibabel as nib

GZIP_LARGEST_RATIO = 1032
"""Deflate makes at most so many bytes of one (RFC 1951: 258 bytes from 2 bits)."""
BYTES_PER_VOXEL = 12
"""Beside what is stored: the scaled value, and float32."""
SCANNER_CODE = 1
"""NIFTI_XFORM_SCANNER_ANAT."""
SPACE_UNIT_BITS, UNKNOWN_UNIT, MILLIMETRES = 0b111, 0, 2
"""Of the field xyzt_units (nifti1.h, NIFTI_UNITS_*)."""


def read_nifti_header(path: Path) -> tuple[tuple[int, ...], Affine]:
    """Shape and affine (index to RAS mm) without the voxels; refusals as `read_nifti`."""
    image = _open(path)
    return _shape(image), _affine(image, path)


def read_nifti(path: Path) -> tuple[tuple[Volume, ...], nib.Nifti1Image]:
    """The volumes of a 3-D or 4-D file as float32 after its scaling, and the image for its header.

    Raises
    ------
    InputRefused
        UNREADABLE, TRUNCATED, WRONG_SHAPE, TOO_LARGE, MISSING_GEOMETRY (neither sform nor qform is set), BAD_AFFINE.
    EnvironmentFailure
        OUT_OF_MEMORY, before any voxel is read.
    """
    image = _open(path)
    affine = _affine(image, path)
    shape = _shape(image)
    stored = image.get_data_dtype().itemsize
    require_memory(math.prod(shape) * (stored + BYTES_PER_VOXEL), path.name)
    try:
        with opened(path) as stream:
            whole = type(image).from_stream(stream)  # reads on where the header ends: a gzipped file is unpacked once
            voxels = np.asarray(whole.dataobj, dtype=np.float32).reshape(shape)
            read_to_the_end(stream)
    except (OSError, EOFError, ValueError, TypeError, zlib.error) as error:
        problem = Problem(Code.TRUNCATED, f"the voxels cannot be read ({type(error).__name__})", path.name)
        raise InputRefused(problem) from error
    stack = voxels[..., np.newaxis] if voxels.ndim == 3 else voxels
    return tuple(Volume(stack[..., n], affine) for n in range(stack.shape[3])), image


def write_nifti(path: Path, volume: Volume | Sequence[Volume], like: nib.Nifti1Image | None = None) -> None:
    """Write `volume`, of several on one grid a 4-D file (i, j, k, number), of one alone 3-D; qform, sform, their codes
    and the units are those of `like` where there is one.

    Raises
    ------
    OSError
        The disk is full or the folder cannot be written.
    """
    import nibabel as nib

    volumes = [volume] if isinstance(volume, Volume) else volume
    voxels = volumes[0].array if len(volumes) == 1 else np.stack([one.array for one in volumes], axis=-1)
    image = nib.Nifti1Image(voxels, volumes[0].affine)
    if like is None:
        image.header.set_xyzt_units("mm")
        image.set_sform(volumes[0].affine, code=SCANNER_CODE)
        image.set_qform(volumes[0].affine, code=SCANNER_CODE)
    else:
        image.header["xyzt_units"] = like.header["xyzt_units"]
        image.set_sform(like.header.get_sform(), code=int(like.header["sform_code"]))
        image.header["qform_code"] = like.header["qform_code"]
        image.header["pixdim"][:4] = like.header["pixdim"][:4]
        for key in ("quatern_b", "quatern_c", "quatern_d", "qoffset_x", "qoffset_y", "qoffset_z"):
            image.header[key] = like.header[key]
    image.header["descrip"] = b"scanweave; research use only, not a medical device"
    nib.save(image, path)


def _open(path: Path) -> nib.Nifti1Image:
    import nibabel as nib

    if not path.is_file():
        raise InputRefused(Problem(Code.INPUT_NOT_FOUND, "expected a NIfTI file", path.name))
    try:
        check_extensions(path)
        image = nib.load(path)
    except MemoryError:
        raise
    except Exception as error:  # nibabel raises nearly anything on damaged bytes
        problem = Problem(Code.UNREADABLE, f"expected a NIfTI file ({type(error).__name__})", path.name)
        raise InputRefused(problem) from error
    if not isinstance(image, nib.Nifti1Image):
        raise InputRefused(Problem(Code.UNREADABLE, f"expected NIfTI, found {type(image).__name__}", path.name))
    if len(_shape(image)) not in (3, 4):
        message = f"expected a 3-D or 4-D volume, found shape {image.shape}"
        raise InputRefused(Problem(Code.WRONG_SHAPE, message, path.name))
    if image.get_data_dtype().kind not in "iuf":
        message = f"expected one real number a voxel, found {image.get_data_dtype()}"
        raise InputRefused(Problem(Code.UNREADABLE, message, path.name))
    _check_length(image, path)
    if too_large := size_problem(_shape(image)[:3], path.name):
        raise InputRefused(too_large)
    return image


def _check_length(image: nib.Nifti1Image, path: Path) -> None:
    """Before the voxels are asked for: a wrong header can claim more of them than any machine holds."""
    expected = math.prod(_shape(image)) * image.get_data_dtype().itemsize
    available = path.stat().st_size
    if path.suffix.lower() == GZIP_SUFFIX:
        available *= GZIP_LARGEST_RATIO
    if expected > available:
        message = f"expected {expected} bytes of voxels, found a file of {path.stat().st_size}"
        raise InputRefused(Problem(Code.TRUNCATED, message, path.name))


def _shape(image: nib.Nifti1Image) -> tuple[int, ...]:
    """Trailing axes of length one say nothing: (i, j, k, 1) is a 3-D volume."""
    shape = tuple(int(n) for n in image.shape)
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    return shape


def _affine(image: nib.Nifti1Image, path: Path) -> Affine:
    unit = int(image.header["xyzt_units"]) & SPACE_UNIT_BITS
    if unit not in (UNKNOWN_UNIT, MILLIMETRES):
        message = f"expected millimetres (unit {MILLIMETRES}), found unit {unit}"
        raise InputRefused(Problem(Code.BAD_AFFINE, message, path.name))
    if not (image.header["sform_code"] or image.header["qform_code"]):
        message = "neither sform nor qform is set: the file does not say how the patient lies"
        raise InputRefused(Problem(Code.MISSING_GEOMETRY, message, path.name))
    try:
        return Grid(_shape(image)[:3], image.affine).affine  # type: ignore[arg-type]
    except ValueError as error:
        raise InputRefused(Problem(Code.BAD_AFFINE, str(error), path.name)) from error
