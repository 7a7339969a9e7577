"""Measuring a bundle's network: masks against an expert's, figures of each case and of all, pictures."""
