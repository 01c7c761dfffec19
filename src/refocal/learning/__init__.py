"""How the generator is made (torch): networks, data, training, export."""
