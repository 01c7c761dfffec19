"""How the generator is made: crops, networks, losses, the training loop, export (torch)."""
