"""scanweave: a brain MR study in, a segmentation in the study's own geometry out.

Research use only; not a medical device.
"""

__version__ = "0.1.0"

RESEARCH_NOTICE = "Research use only, not a medical device"
"""Stands wherever results are shown."""
