"""The exported model in use: `Refocuser`, its rendering in tiles, and living pictures."""
