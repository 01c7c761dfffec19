"""What happens to a photo between request and response: decode, analyse, render, encode."""
