"""What every recipe begins with: three series by hand, each as NIfTI."""

from __future__ import annotations

import argparse
from pathlib import Path

ROLES = ("pre", "flair", "post")


def parser(description: str) -> argparse.ArgumentParser:
    """The arguments that all recipes take."""
    made = argparse.ArgumentParser(description=description)
    for role in ROLES:
        made.add_argument(f"--{role}", type=Path, required=True, help="a NIfTI file, or a folder of DICOM files")
    made.add_argument("--out", type=Path, required=True)
    return made


def as_nifti(options: argparse.Namespace, folder: Path, suffix: str = ".nii") -> dict[str, Path]:
    """NIfTI files by role: those given, and in `folder` those converted from DICOM."""
    return {role: _converted(getattr(options, role), folder / f"dicom_{role}{suffix}") for role in ROLES}


def _converted(source: Path, target: Path) -> Path:
    if source.is_file():
        return source
    import SimpleITK as sitk

    names = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(source))
    sitk.WriteImage(sitk.ReadImage(names), str(target))
    return target
