"""Shift-and-add: the mean of the views of a light field along a slope, and focal stacks (numba)."""
