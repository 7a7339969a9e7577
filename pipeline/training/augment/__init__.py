"""Augmentation of whole batches on the device: what real scans differ in from the training patients' slices."""
