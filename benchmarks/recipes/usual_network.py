"""Three NIfTI files on one grid to a mask on that grid, as MONAI's tutorials do it, with scanweave's own network."""

from __future__ import annotations

from pathlib import Path

SIZE = 256
LOWER, UPPER = 10, 99
"""Percentiles of the published preprocessing; z-scores over the volume follow it."""


def segment(files: list[Path], out: Path, checkout: Path) -> None:
    """Write `out`/segmentation.nii.gz; `files` are T1, FLAIR, post-contrast T1 on the FLAIR's grid."""
    import nibabel as nib
    import numpy as np
    import torch
    from monai.data import MetaTensor
    from monai.transforms import (
        AsDiscreted,
        Compose,
        EnsureChannelFirstd,
        Invertd,
        LoadImaged,
        NormalizeIntensityd,
        Orientationd,
        Resized,
        ScaleIntensityRangePercentilesd,
    )

    before = Compose(
        [
            LoadImaged("image"),
            EnsureChannelFirstd("image"),
            Orientationd("image", axcodes="PLS"),
            Resized("image", spatial_size=(SIZE, SIZE, -1)),
            ScaleIntensityRangePercentilesd("image", LOWER, UPPER, 0, 1, clip=True),
            NormalizeIntensityd("image", channel_wise=True),
        ]
    )
    after = Compose([Invertd("pred", before, "image", nearest_interp=False), AsDiscreted("pred", threshold=0.5)])
    network = torch.hub.load(str(checkout), "unet", source="local", pretrained=True).eval()
    study = before({"image": [str(file) for file in files]})
    with torch.inference_mode():
        slices = study["image"].as_tensor().permute(3, 0, 1, 2)
        study["pred"] = MetaTensor(network(slices).permute(1, 2, 3, 0))
    mask = after(study)["pred"]
    image = nib.Nifti1Image(mask[0].numpy().astype(np.uint8), mask.affine.numpy())
    nib.save(image, out / "segmentation.nii.gz")
