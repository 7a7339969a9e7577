"""What the steps of a training are called where their progress is shown; light, for the display."""

CACHE_STEP = "Preprocess"
TRAIN_STEP = "Train"
"""A stage's number and count are those of the epoch."""
