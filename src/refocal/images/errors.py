"""Why a file is not read, before anything is known of its name."""


class TooLargeError(Exception):
    """Width times height, above the limit."""


class NoPictureError(Exception):
    """Not a format that is read here."""


class RawFileError(Exception):
    """What a camera's sensor saw, which wants developing."""


def check_size(width: int, height: int, max_pixels: int) -> None:
    """Refuse a picture of more pixels, before it is decoded."""
    if width * height > max_pixels:
        raise TooLargeError(width * height)
