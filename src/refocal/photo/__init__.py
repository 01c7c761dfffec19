"""What a person holds: pictures in, refocused pictures out (numpy, Pillow, onnxruntime)."""
