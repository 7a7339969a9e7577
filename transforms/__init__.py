"""The steps between a study and a network: one MONAI dictionary transform a file."""
