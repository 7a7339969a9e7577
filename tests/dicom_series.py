"""An invented series and real ones for the tests of DICOM results: headers, masks, and what reads them back."""

import hashlib

import highdicom as hd
import numpy as np
import pydicom
import SimpleITK as sitk
from external_tools import run_tool
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage
from scipy.spatial.transform import Rotation

from scanweave.transforms.geometry import LPS_FROM_RAS, Volume
from scanweave.transforms.io.dicom_seg import SegSettings
from scanweave.transforms.segments import Segment

SLICES, ROWS, COLUMNS = 10, 24, 37  # 888 pixels are whole bytes, 888 * 3 frames too; 37 is odd on purpose
SPACING = (5.5, 1.25, 0.9)  # slices, rows, columns, mm
ABNORMALITY = Segment("abnormality", "FLAIR abnormality")
SETTINGS = SegSettings((ABNORMALITY,), "bn_unet", "0.1.0", hashlib.sha256(b"weights").hexdigest())
FLAGGED = SegSettings(
    (ABNORMALITY,),
    "bn_unet",
    "0.1.0",
    SETTINGS.weights_sha256,
    series_description="FLAIR abnormality of the whole brain, as found by scanweave 0.1.0",
    flags=("the pre series moved by 25 mm", "12 % of the volume was removed"),
    substituted=("post",),
)
LABEL_MAP_STORAGE = "1.2.840.10008.5.1.4.1.1.66.7"
"""Of Supplement 243; pydicom 3.0 has no name for it."""
SAME_PLACE_MM = 0.01
FOREIGN_FLAIR = "study-siemens/36468-FLAIRreg-58706/*.dcm"
FOREIGN_T1 = ("study-siemens/26401-T1prereg-52906/*.dcm", "study-siemens/11-T1post-18670/*.dcm")
VENDORS = ("ge", "siemens", "philips", "hitachi", "philips_enhanced")


def mr_series(series="1.2.3.2", description="FLAIR", decimals=None):
    """Headers of an oblique anisotropic series, in no useful order, as a scanner writes them."""
    turn = Rotation.from_euler("zyx", (12, -17, 23), degrees=True).as_matrix()
    along, down, normal = turn.T  # LPS
    headers = []
    for number in (3, 0, 9, 5, 1, 8, 2, 7, 6, 4):
        header = Dataset()
        header.file_meta = FileMetaDataset()
        header.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        header.SpecificCharacterSet = "ISO_IR 100"
        header.SOPClassUID = MRImageStorage
        header.SOPInstanceUID = f"{series}.{number + 1}"
        header.StudyInstanceUID, header.SeriesInstanceUID = "1.2.3.1", series
        header.FrameOfReferenceUID, header.PositionReferenceIndicator = "1.2.3.9", ""
        header.Modality, header.SeriesNumber, header.InstanceNumber = "MR", 4, number + 1
        header.StudyDate, header.StudyTime = "20200121", "074807"
        header.SeriesDate, header.SeriesTime = "20200121", "081704.25"
        header.ContentDate, header.ContentTime = "20200121", f"0817{30 - number}"
        header.PatientName, header.PatientID, header.PatientSex = "Gruß^Jürgen", "ID-7", "O"
        header.PatientBirthDate, header.PatientAge = "19610203", "058Y"
        header.AccessionNumber, header.StudyID, header.ReferringPhysicianName = "A1", "S1", "Weiß^Ärztin"
        header.StudyDescription, header.SeriesDescription = "Schädel", description
        header.Manufacturer, header.ManufacturerModelName = "Maker", "Model"
        header.Rows, header.Columns = ROWS, COLUMNS
        header.PixelSpacing = [SPACING[1], SPACING[2]]
        header.SliceThickness, header.SpacingBetweenSlices = 5, 99  # the gap is often wrong in real headers
        position = np.array([-70.0, 31.0, -12.0]) + number * SPACING[0] * normal
        header.ImagePositionPatient = [round(float(x), decimals or 9) for x in position]
        header.ImageOrientationPatient = [round(float(x), 9) for x in (*along, *down)]
        headers.append(header)
    affine = np.eye(4)  # (column, row, slice) to RAS
    affine[:3, :3] = np.column_stack([along * SPACING[2], down * SPACING[1], normal * SPACING[0]])
    affine[:3, 3] = (-70.0, 31.0, -12.0)
    return headers, LPS_FROM_RAS @ affine


def lesion(affine, shape=(COLUMNS, ROWS, SLICES)):
    """A mask without any symmetry, with a slice missing in its middle, touching a border."""
    array = np.zeros(shape, np.uint8)
    array[2:9, 3:6, 2] = 1
    array[2:5, 3:11, 3] = 1
    array[-6:, 12:14, 5] = 1
    return Volume(array, affine)


def turned(volume, axes, flips):
    """The same voxels at the same places, stored with other axes."""
    array, affine = volume.array.transpose(axes), volume.affine[:, [*axes, 3]].copy()
    for axis in flips:
        affine[:3, 3] += affine[:3, axis] * (array.shape[axis] - 1)
        affine[:3, axis] *= -1
        array = np.flip(array, axis)
    return Volume(np.ascontiguousarray(array), affine)


def same_in_space(one, other):
    """Whether each marked voxel of one volume is a marked voxel of the other, by its place in RAS mm."""
    for here, there in ((one, other), (other, one)):
        points = here.grid.points(np.argwhere(here.array))
        found = (points - there.affine[:3, 3]) @ np.linalg.inv(there.affine[:3, :3]).T
        nearest = np.rint(found).astype(int)
        off_mm = np.abs((found - nearest) * there.grid.spacing)
        if (nearest < 0).any() or (nearest >= there.array.shape).any() or (off_mm > SAME_PLACE_MM).any():
            return False
        if not there.array[tuple(nearest.T)].all():
            return False
    return True


def read_highdicom(path, folder):
    volume = hd.seg.segread(path).get_volume(combine_segments=True)
    return Volume(volume.array, LPS_FROM_RAS @ volume.affine)


def read_dcmqi(path, folder):
    run = run_tool("segimage2itkimage", "--inputDICOM", path, "--outputDirectory", folder, "--outputType", "nrrd")
    assert run.returncode == 0, run.stderr
    image = sitk.ReadImage(folder / "1.nrrd")
    affine = np.eye(4)
    affine[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
    affine[:3, 3] = image.GetOrigin()
    return Volume(sitk.GetArrayFromImage(image).transpose(2, 1, 0), LPS_FROM_RAS @ affine)


def read_headers(data_dir, *patterns):
    files = [file for pattern in patterns for file in sorted(data_dir.glob(pattern))]
    assert files
    return [pydicom.dcmread(file, stop_before_pixels=True) for file in files]


def read_real(data_dir, pattern):
    """A volume on the grid that highdicom reads, with a mask in it, and the headers."""
    files = sorted(data_dir.glob(pattern))
    headers = [pydicom.dcmread(file) for file in files]
    for header in headers:
        if "FrameOfReferenceUID" not in header:
            header.FrameOfReferenceUID = header.SeriesInstanceUID  # highdicom reads no volume without
    if len(headers) == 1:
        volume = hd.Image.from_dataset(headers[0]).get_volume()
    else:
        volume = hd.get_volume_from_series(headers, apply_modality_transform=None)
    slices, rows, columns = volume.spatial_shape
    array = np.zeros((slices, rows, columns), np.uint8)
    array[1 : slices // 2 + 1, rows // 4 : rows // 2, columns // 5 : columns // 3] = 1
    array[slices // 2, rows // 4 : rows // 3, columns // 5 :] = 1
    return Volume(array, LPS_FROM_RAS @ volume.affine), read_headers(data_dir, pattern)


def every_element(dataset):
    for element in dataset:
        if element.VR == "SQ":
            for item in element.value:
                yield from every_element(item)
        else:
            yield element
