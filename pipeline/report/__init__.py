"""The report: one HTML file that shows what was found, on what grounds, and how far to trust it."""
