"""Disparity from the views of a light field, by plane sweep."""
