"""What the service says no to, and how: a status, one line, and the field that it is about."""


class Refusal(Exception):  # noqa: N818  it is one
    """A request that is not served.

    Parameters
    ----------
    status : int
        Of HTTP: 400 a picture or archive that cannot be read, 409 a model that cannot, 413 too large, 415 a format that
        is not allowed, 422 a value out of range, 429 too many jobs.
    line : str
        One line for people.
    field : str, optional
        What of the request it is about.
    """

    def __init__(self, status: int, line: str, field: str | None = None) -> None:
        super().__init__(line)
        self.status, self.line, self.field = status, line, field
