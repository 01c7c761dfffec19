"""Batches: which crop of which scene, at which focus; targets averaged from views on the training device."""
