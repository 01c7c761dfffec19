"""Stage stack: light fields in data/ -> prepared scenes in scenes/. `python -m refocal.stages.stack`."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from refocal import __version__
from refocal.params import read_params
from refocal.scenes.parallel import Folders, prepare_scenes
from refocal.scenes.preparation import Recipe
from refocal.scenes.split import split_by_group
from refocal.stages import run

SCENES, SIDE = Path("scenes"), Path("checkpoints/stack")
NO_EFFECT = {"workers", "on_error", "keep_views"}  # on pictures; each scene says what views it has
LINE_EVERY = 10.0  # seconds, where no one watches a terminal


@contextmanager
def shown() -> Iterator[Callable[[int, int, str], None]]:
    """Show progress as a bar with the time left on a terminal, else as a line every few seconds."""
    console = Console()
    columns = (
        TextColumn("stack"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.description}"),
    )
    last_line = time.monotonic()
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=None)

        def report(done: int, total: int, name: str) -> None:
            nonlocal last_line
            bar.update(task, completed=done, total=total, description=name)
            if not console.is_terminal and (time.monotonic() - last_line >= LINE_EVERY or done == total):
                last_line = time.monotonic()
                print(f"stack: {done} of {total} light fields, last {name}", flush=True)

        yield report


def main() -> None:
    """Prepare all light fields, or go on with what a stopped run left in checkpoints/stack."""
    section = read_params().stack
    recipe = Recipe(
        levels=section.levels,
        levels_between=section.levels_between,
        slope_range=section.slope_range,
        pupil=section.pupil,
        linear=section.linear,
        stack_side=section.stack_side,
        keep_views=section.keep_views,
    )
    with shown() as progress:
        skipped = prepare_scenes(
            Folders(Path(section.data), SCENES, SIDE),
            recipe,
            lambda groups: split_by_group(groups, **section.split.model_dump()),
            about={"refocal": __version__, "recipe": section.model_dump(mode="json", exclude=NO_EFFECT)},
            workers=section.workers,
            skip=section.on_error == "skip",
            progress=progress,
        )
    for name, reason in skipped.items():
        print(f"stack: skipped {name}: {reason}")


if __name__ == "__main__":
    run(main)
