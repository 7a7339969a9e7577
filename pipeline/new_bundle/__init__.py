"""Bundles made from the shipped ones, and the weights that they get."""
