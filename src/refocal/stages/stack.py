"""Stage stack: light fields in data/ -> prepared scenes in scenes/. `python -m refocal.stages.stack`."""

from pathlib import Path

from refocal import __version__
from refocal.params import read_params
from refocal.progress import progress_of
from refocal.scenes.parallel import Folders, prepare_scenes
from refocal.scenes.preparation import Recipe
from refocal.scenes.split import split_by_group
from refocal.stages import run

SCENES, SIDE = Path("scenes"), Path("checkpoints/stack")
NO_EFFECT = {"workers", "engine", "on_error", "keep_views"}  # on pictures; each scene says what views it has


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
    with progress_of("stack", "light fields") as progress:
        skipped = prepare_scenes(
            Folders(Path(section.data), SCENES, SIDE),
            recipe,
            lambda groups: split_by_group(groups, **section.split.model_dump()),
            about={"refocal": __version__, "recipe": section.model_dump(mode="json", exclude=NO_EFFECT)},
            workers=section.workers,
            engine=section.engine,
            skip=section.on_error == "skip",
            progress=progress,
        )
    for name, reason in skipped.items():
        print(f"stack: skipped {name}: {reason}")


if __name__ == "__main__":
    run(main)
