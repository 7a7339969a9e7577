"""Training a bundle's network: volumes, splits, augmentation, the loop and its checkpoints."""
