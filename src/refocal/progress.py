"""How far a long run is: a bar with the time left on a terminal, else a line every few seconds."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

LINE_EVERY = 10.0  # seconds, where no one watches a terminal
Progress = Callable[[int, int, str], None]  # how many are done, of how many, and what to say of it


@contextmanager
def progress_of(name: str, unit: str, *, stderr: bool = False) -> Iterator[Progress]:
    """Give a function to report with: how many are done, of how many, and what to say of it.

    The time left is that of what is still to do at the pace since the second report: before it things start.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    console = Console(stderr=stderr)
    columns = (
        TextColumn(name),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.description}"),
    )
    first: list[tuple[float, int]] = []
    last_line = time.monotonic()
    with Bar(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=None)

        def report(done: int, total: int, text: str) -> None:
            nonlocal last_line
            bar.update(task, completed=done, total=total, description=text)
            now = time.monotonic()
            if len(first) < 2:
                first.append((now, done))
            if not console.is_terminal and (now - last_line >= LINE_EVERY or done == total):
                last_line = now
                line = f"{name}: {done} of {total} {unit}{_left(first[-1], now, done, total)}, {text}"
                console.print(line, soft_wrap=True, highlight=False, markup=False)

        yield report


def _left(first: tuple[float, int], now: float, done: int, total: int) -> str:
    """Return the time left in words; nothing where it is not known, or all is done."""
    start, before = first
    if done in {before, total}:
        return ""
    minutes = (now - start) / (done - before) * (total - done) / 60
    return f", {minutes:.0f} min left" if minutes >= 1 else ", less than a minute left"
