"""Light fields in: lenslet mosaics, folders of views and arrays become `LightField`."""
