"""Picture files to pixels and back, colour, animations, and whether a photo is sharp (NumPy, Pillow, imagecodecs)."""
