#!/usr/bin/env python3
"""What a user builds from public parts: SimpleITK's usual registration or another, MONAI transforms, eager network."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from registrators import LPS, METHODS, Matrix
from series_files import as_nifti, parser
from usual_network import segment


def main() -> None:
    """Register, resample, segment."""
    arguments = parser(__doc__ or "")
    arguments.add_argument("--checkout", type=Path, required=True, help="with the network's hubconf.py")
    arguments.add_argument("--registrator", choices=METHODS, default="simpleitk")
    options = arguments.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        files = as_nifti(options, Path(temporary))
        for role in ("pre", "post"):
            matrix = METHODS[options.registrator](files["flair"], files[role])
            files[role] = _moved(files["flair"], files[role], matrix, Path(temporary) / f"registered_{role}.nii")
        segment([files["pre"], files["flair"], files["post"]], options.out, options.checkout)


def _moved(flair: Path, moving: Path, matrix_ras: Matrix, target: Path) -> Path:
    """`moving` on the FLAIR's grid."""
    import SimpleITK as sitk

    matrix = LPS @ np.asarray(matrix_ras) @ LPS
    pose = sitk.AffineTransform(matrix[:3, :3].ravel().tolist(), matrix[:3, 3].tolist())
    grid = sitk.ReadImage(str(flair))
    moved = sitk.Resample(sitk.ReadImage(str(moving), sitk.sitkFloat32), grid, pose, sitk.sitkLinear, 0.0)
    sitk.WriteImage(moved, str(target))
    return target


if __name__ == "__main__":
    main()
