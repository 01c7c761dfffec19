"""What light does: light fields, focal stacks, depth (numpy, numba)."""
