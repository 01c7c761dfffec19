"""How near each pixel of a photo is: from maps, portrait photos, depth networks, views, focus brackets."""
