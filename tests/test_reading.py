"""What is read is a magnitude image of one patient, or a refusal."""

import numpy as np
import pydicom
import pytest

from scanweave.errors import Code, InputRefused
from scanweave.transforms.geometry import Volume
from scanweave.transforms.io.dicom_instance import count_patients, patient_facts
from scanweave.transforms.load_study import magnitude


def voxels() -> np.ndarray:
    return np.random.default_rng(0).uniform(10, 900, (20, 20, 20)).astype(np.float32)


def test_padding_and_ringing_become_background() -> None:
    padded = voxels()
    padded[:5] = -2000  # one value where nothing was imaged
    padded[6, 6, :3] = (-3, -2, -1)  # an interpolation's ringing
    read = magnitude(Volume(padded, np.eye(4)), "series").array
    assert read.min() == 0 and (read[:5] == 0).all() and np.array_equal(read[7:], padded[7:])
    assert padded.min() == -2000, "the input was changed"


@pytest.mark.parametrize("offset, code", [(-455, Code.NEGATIVE_VALUES), (-1024, Code.EMPTY_VOLUME)])
def test_no_magnitude_image_is_refused(offset: float, code: Code) -> None:
    with pytest.raises(InputRefused) as refusal:
        magnitude(Volume(voxels() + np.float32(offset), np.eye(4)), "series")
    assert refusal.value.code is code


def person(**facts: str) -> tuple[str, ...]:
    header = pydicom.Dataset()
    for key, value in facts.items():
        setattr(header, key, value)
    return patient_facts(header)


def test_patients_differ_by_what_both_headers_say() -> None:
    base = {"PatientID": "ANON", "PatientBirthDate": "19500101", "PatientSex": "F"}
    assert count_patients([person(**base), person(**base), person(), ()]) == 1
    assert count_patients([person(**base), person(**base, IssuerOfPatientID="A")]) == 1, "only one of them says"
    assert count_patients([person(**base), person(**{**base, "PatientBirthDate": "19600101"})]) == 2
    assert count_patients([person(**base), person(**{**base, "PatientID": "OTHER"})]) == 2
    assert count_patients([]) == count_patients([()]) == 0
    assert "ANON" not in "".join(person(**base))
