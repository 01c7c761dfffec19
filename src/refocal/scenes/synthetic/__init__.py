"""Rendered light fields of known disparity: the sample that the pipeline runs on."""
