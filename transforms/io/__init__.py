"""Reading and writing: DICOM, NIfTI, DICOM-SEG."""
