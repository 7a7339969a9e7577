"""The MONAI bundles that scanweave ships."""
