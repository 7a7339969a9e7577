"""Hand a study's FLAIR to ITK: `python docs/examples/itk_image.py STUDY` (needs `pip install scanweave[itk]`)."""

import sys

from monai.data import metatensor_to_itk_image

from scanweave.pipeline.bundle import find_bundle
from scanweave.transforms.load_study import LoadStudyd
from scanweave.transforms.monai_steps import to_metatensor

loaded = LoadStudyd(find_bundle().roles, reference="flair")({"study": sys.argv[1]})
image = metatensor_to_itk_image(to_metatensor(loaded["flair"]))
print(image.GetSpacing(), image.GetOrigin())
