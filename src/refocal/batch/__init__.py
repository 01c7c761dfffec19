"""Archives of photos: refocused one by one on this machine or on a Ray cluster, with a manifest that goes on."""
