"""Training examples that are drawn and rendered without end, with known disparity and real occlusion."""
