"""Whole studies: from a path to results on disk."""
