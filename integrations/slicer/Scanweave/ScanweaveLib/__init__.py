"""What the module does, without Qt and without Slicer but in `scene.py`; for Python 3.9, which Slicer 5.8 has."""
