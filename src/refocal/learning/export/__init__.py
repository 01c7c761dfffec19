"""Generators to ONNX files that carry their own conventions, checked against torch."""
