#!/usr/bin/env python3
"""What a user builds from public parts: SimpleITK's usual registration, MONAI transforms, the eager network."""

from __future__ import annotations

import tempfile
from pathlib import Path

from series_files import as_nifti, parser
from usual_network import segment
from usual_registration import register


def main() -> None:
    """Register, resample, segment."""
    import SimpleITK as sitk

    arguments = parser(__doc__ or "")
    arguments.add_argument("--checkout", type=Path, required=True, help="with the network's hubconf.py")
    options = arguments.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        files = as_nifti(options, Path(temporary))
        flair = sitk.ReadImage(str(files["flair"]), sitk.sitkFloat32)
        for role in ("pre", "post"):
            moving = sitk.ReadImage(str(files[role]), sitk.sitkFloat32)
            moved = sitk.Resample(moving, flair, register(flair, moving), sitk.sitkLinear, 0.0)
            files[role] = Path(temporary) / f"registered_{role}.nii"
            sitk.WriteImage(moved, str(files[role]))
        segment([files["pre"], files["flair"], files["post"]], options.out, options.checkout)


if __name__ == "__main__":
    main()
