"""Photo and disparity to the refocused photo: the reference renderer, tiles, and blurs beyond the model's."""
