"""The stages of dvc.yaml, one module each: read the own section of params.yaml, call the wings, write outputs."""
