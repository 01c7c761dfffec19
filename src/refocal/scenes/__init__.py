"""Training data on disk: light fields, focal stacks, RGB-D pairs and masks become prepared scenes."""
