"""The DICOM node: studies come in, results go back."""
