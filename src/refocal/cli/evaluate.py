"""`refocal evaluate`: score a model on one's own captures."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from refocal.cli.options import Force, check_new, output_folder, with_progress
from refocal.cli.photo import Model

if TYPE_CHECKING:
    from refocal.scenes.scene import Scene

Data = Annotated[
    Path, typer.Option(help="Folder: a light field, focal stack, RGB-D pair or set of such pairs a subfolder.")
]
Output = Annotated[
    Path | None, typer.Option("--output", "-o", help="Write all figures there too, each scene's among them, as JSON.")
]
Sheets = Annotated[
    Path | None,
    typer.Option(help="Folder for sheets of the best, the median and the worst scene: photo, disparity, sweep, error."),
]
Workers = Annotated[int, typer.Option(help="Processes that prepare the scenes; 0: one a core.")]


def evaluate(
    *,
    data: Data,
    model: Model = None,
    output: Output = None,
    sheets: Sheets = None,
    workers: Workers = 0,
    force: Force = False,
) -> None:
    """Judge a model on light fields, focal stacks and RGB-D pairs of one's own, beside the baselines.

    Four ways in: the photo alone, with its disparity, the ends of its focus bracket, or one of these ends alone. The
    Gaussian baseline is fitted on the very scenes, which favours it.

    Slices of a focal stack, from near to far, are called refocus_00.jpg, …; of other names that count on, a
    lightfield.toml with kind = "focal_stack" beside them says what they are. A pair is image.jpg and disparity.png,
    many are image/ID.jpg and disparity/ID.png: larger = nearer, 0 = unknown.

    For example:
      refocal evaluate --data captures
      refocal evaluate --model models/refocal.onnx --data captures -o scores.json --sheets sheets
    """
    import json
    import tempfile
    from contextlib import ExitStack

    if output is not None:  # before the imports, which take seconds
        check_new(output, force=force)
    _check_data(data)

    from refocal.evaluation.baselines import Oracle, fit_gaussian, identity
    from refocal.evaluation.from_slice import from_slice
    from refocal.evaluation.modes import depth_scores, evaluation_modes
    from refocal.evaluation.report import report, scene_scores, tables
    from refocal.evaluation.scoring import score_scene
    from refocal.evaluation.sheets import write_sheets
    from refocal.images.image import written_beside
    from refocal.model.refocuser import Refocuser

    refocuser = Refocuser(model)
    with ExitStack() as opened:
        drawn = opened.enter_context(output_folder(sheets, force=force)) if sheets else None
        scenes = _prepared(data, Path(opened.enter_context(tempfile.TemporaryDirectory())), workers)
        metrics, scores = {}, []
        judged = {scene.name: scene for scene in scenes if scene.focus}
        if judged:
            gaussian = fit_gaussian(list(judged.values()))
            methods = evaluation_modes(refocuser) | {"identity": identity, "gaussian": gaussian, "oracle": Oracle()}
            scores = [score_scene(scene, methods) for scene in with_progress(list(judged.values()), "Judging")]
            metrics["test"] = report(scores, ours="refocal", resamples=2000, seed=0)
            slices = with_progress(list(judged.values()), "From a slice")
            if one := from_slice(refocuser, slices, resamples=2000, seed=0):
                metrics["test"]["from_slice"] = one
            if drawn is not None:
                analyse = refocuser.analyse if refocuser.finds_depth else None
                write_sheets(drawn, "test", judged, scores, methods, analyse)
        depth = depth_scores(refocuser, scenes)
    typer.echo(tables(metrics) if metrics else "no light field or focal stack: nothing to refocus against")
    if depth:
        typer.echo(f"disparity: Pearson r {depth['mean']:.3f}, mean over {depth['n']:.0f} scenes")
    if output is not None:
        with written_beside(output) as beside:
            written = metrics | {"disparity": depth, "scenes": scene_scores(scores)}
            beside.write_text(json.dumps(written, indent=1) + "\n", encoding="utf-8")


def _check_data(data: Path) -> None:
    if not data.is_dir():
        raise ValueError(f"--data {data}: there is no such folder")
    if all(path.name.startswith(".") for path in data.iterdir()):
        raise ValueError(f"--data {data}: the folder is empty; a subfolder a capture belongs there")


def _prepared(data: Path, folder: Path, workers: int) -> "list[Scene]":
    """Prepare all scenes of a folder of captures as the pipeline would, and say which cannot be."""
    from refocal.scenes.parallel import Folders, prepare_scenes
    from refocal.scenes.preparation import Recipe
    from refocal.scenes.scene import read_scenes

    skipped = prepare_scenes(
        Folders(data, folder / "scenes", folder / "side"),
        Recipe(levels=(-1, -0.5, 0, 0.5, 1), levels_between=(-0.75, -0.25, 0.25, 0.75)),
        lambda groups: dict.fromkeys(groups, "test"),
        about={},
        progress=lambda *_: None,
        workers=workers,
        skip=True,
    )
    for name, reason in skipped.items():
        typer.echo(f"skipped {name}: {reason}", err=True)
    return read_scenes(folder / "scenes")
