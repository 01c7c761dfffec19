"""Disparity and the all-in-focus photo from a focus bracket."""
