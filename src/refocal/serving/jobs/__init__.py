"""Batches of photos as files, which outlive the server."""
