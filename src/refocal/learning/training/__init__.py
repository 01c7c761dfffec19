"""The conditional GAN: losses, one step, the loop, checkpoints, validation."""
