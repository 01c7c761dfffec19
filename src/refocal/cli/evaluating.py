"""`refocal evaluate`: how good a model is on one's own captures."""

from pathlib import Path
from typing import Annotated

import typer

from refocal.cli.options import Force, check_new, followed

Model = Annotated[
    Path | None, typer.Option(help="ONNX file (default: REFOCAL_MODEL, models/refocal.onnx, or the released weights).")
]
Data = Annotated[Path, typer.Option(help="Folder: a light field, focal stack or set of RGB-D pairs a subfolder.")]
Output = Annotated[Path | None, typer.Option("--output", "-o", help="Write all figures there too, as JSON.")]
Workers = Annotated[int, typer.Option(help="Processes that prepare the scenes; 0: one a core.")]


def evaluate(
    *, data: Data, model: Model = None, output: Output = None, workers: Workers = 0, force: Force = False
) -> None:
    """Judge a model on light fields, focal stacks and RGB-D pairs of one's own, beside the baselines.

    Three ways in: the photo alone, with its disparity, or the ends of its focus bracket. The Gaussian baseline is
    fitted on the very scenes, which favours it.

    For example:
      refocal evaluate --data captures
      refocal evaluate --model models/refocal.onnx --data captures -o scores.json
    """
    import json
    import tempfile

    from refocal.judging.baselines import Oracle, fit_gaussian, identity
    from refocal.judging.report import report, tables
    from refocal.judging.scoring import score_scene
    from refocal.judging.ways import depth_scores, ways_in
    from refocal.optics.batch import Places, prepare_scenes
    from refocal.optics.preparing import Recipe
    from refocal.optics.scenes import read_scenes
    from refocal.photo.images import written_beside
    from refocal.photo.refocuser import Refocuser

    if output is not None:
        check_new(output, force=force)
    refocuser = Refocuser(model)
    with tempfile.TemporaryDirectory() as folder:
        skipped = prepare_scenes(
            Places(data, Path(folder) / "scenes", Path(folder) / "side"),
            Recipe(levels=(-1, -0.5, 0, 0.5, 1), levels_between=(-0.75, -0.25, 0.25, 0.75)),
            lambda groups: dict.fromkeys(groups, "test"),
            about={},
            progress=lambda *_: None,
            workers=workers,
            skip=True,
        )
        scenes = read_scenes(Path(folder) / "scenes")
        metrics = {}
        judged = [scene for scene in scenes if scene.focus]
        if judged:
            methods = ways_in(refocuser)
            methods |= {"identity": identity, "gaussian": fit_gaussian(judged), "oracle": Oracle()}
            scores = [score_scene(scene, methods) for scene in followed(judged, "Judging")]
            metrics["test"] = report(scores, ours="refocal", resamples=2000, seed=0)
        depth = depth_scores(refocuser, scenes)
    for name, reason in skipped.items():
        typer.echo(f"skipped {name}: {reason}", err=True)
    typer.echo(tables(metrics) if metrics else "no light field or focal stack: nothing to refocus against")
    if depth:
        typer.echo(f"disparity: Pearson r {depth['mean']:.3f}, mean over {depth['n']:.0f} scenes")
    if output is not None:
        with written_beside(output) as beside:
            beside.write_text(json.dumps(metrics | {"disparity": depth}, indent=1) + "\n", encoding="utf-8")
