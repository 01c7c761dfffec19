"""How exported models are run: onnxruntime sessions, and micro-batching for a GPU."""
