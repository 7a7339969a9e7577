#!/usr/bin/env python3
"""brainles-preprocessing in the FLAIR's own space, with its default registrator (ANTs), then the eager network.

Without brain extraction, the costliest of its steps: its weights are downloaded at first use, and the network was
trained on whole heads.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from series_files import as_nifti, parser
from usual_network import segment


def main() -> None:
    """Preprocess, segment."""
    from brainles_preprocessing.modality import CenterModality, Modality
    from brainles_preprocessing.preprocessor import NativeSpacePreprocessor

    arguments = parser(__doc__ or "")
    arguments.add_argument("--checkout", type=Path, required=True, help="with the network's hubconf.py")
    options = arguments.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        files = as_nifti(options, Path(temporary), ".nii.gz")  # it copies files to names that end so
        done = {role: Path(temporary) / f"done_{role}.nii.gz" for role in files}
        flair = CenterModality("flair", files["flair"], raw_skull_output_path=done["flair"])
        moving = [Modality(role, files[role], raw_skull_output_path=done[role]) for role in ("pre", "post")]
        preprocessor = NativeSpacePreprocessor(flair, moving, temp_folder=Path(temporary) / "steps")
        preprocessor.run(log_file=Path(temporary) / "log.txt")
        segment([done["pre"], done["flair"], done["post"]], options.out, options.checkout)


if __name__ == "__main__":
    main()
