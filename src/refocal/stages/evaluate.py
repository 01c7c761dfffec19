"""Stage evaluate: score the exported model and its baselines on held-out scenes -> metrics.json, plots/, pictures/."""

import json
import shutil
from pathlib import Path

from rich.progress import track

from refocal.evaluation.baselines import Method, Oracle, fit_gaussian, identity
from refocal.evaluation.from_slice import from_slice
from refocal.evaluation.modes import evaluation_modes
from refocal.evaluation.report import by_focus, by_scene, report
from refocal.evaluation.scoring import score_scene
from refocal.evaluation.sheets import write_sheets
from refocal.model.refocuser import Refocuser
from refocal.params import Evaluate, read_params
from refocal.scenes.scene import Scene, read_manifest, read_scenes
from refocal.stages import run

SCENES, OURS, ORIGINAL = Path("scenes"), Path("models/refocal.onnx"), Path("models/original.onnx")
METRICS, PLOTS, PICTURES = Path("metrics.json"), Path("plots"), Path("pictures")


def main() -> None:
    """Score every part of the scenes that the parameters name, then put the outputs in place together."""
    params = read_params().evaluate
    scenes = {split: found for split in params.splits if (found := judged(read_scenes(SCENES, split)))}
    if not scenes:  # one part alone may be empty: k-fold of few scenes has no validation part
        raise ValueError(f"{SCENES} holds no scene of the parts {', '.join(params.splits)} to evaluate on")
    ours = model(OURS, params)
    methods = methods_of(ours, params)
    shown = {name: methods[name] for name in ("refocal", "gaussian", "oracle")}
    folders = {folder: folder.with_name(f".{folder.name}.partial") for folder in (PLOTS, PICTURES)}
    for partial in folders.values():
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
    metrics = {}
    for split, members in scenes.items():
        scores = [score_scene(scene, methods) for scene in track(members, description=f"evaluate {split}")]
        metrics[split] = report(scores, ours="refocal", resamples=params.bootstrap, seed=params.seed)
        slices = track(members, description=f"from a slice, {split}")
        if one := from_slice(ours, slices, resamples=params.bootstrap, seed=params.seed):
            metrics[split]["from_slice"] = one
        for name, table in (by_focus(scores) | {"by_scene": by_scene(scores)}).items():
            (folders[PLOTS] / f"{split}_{name}.csv").write_text(table, encoding="utf-8")
        analyse = ours.analyse if ours.finds_depth else None
        write_sheets(folders[PICTURES], split, {scene.name: scene for scene in members}, scores, shown, analyse)
    for folder, partial in folders.items():
        shutil.rmtree(folder, ignore_errors=True)
        partial.rename(folder)
    written = METRICS.with_name(f".{METRICS.name}.partial")
    written.write_text(json.dumps(metrics, indent=1) + "\n", encoding="utf-8")
    written.rename(METRICS)


def methods_of(ours: Refocuser, params: Evaluate) -> dict[str, Method]:
    """Return what is compared, by name: the exported models, and the baselines."""
    methods = evaluation_modes(ours)
    if ORIGINAL.exists():
        methods["original"] = evaluation_modes(model(ORIGINAL, params))["refocal"]
    recipe = read_manifest(SCENES).get("recipe", {})  # of the stage stack; other makers' scenes may have none
    oracle = Oracle(**{key: recipe[key] for key in ("pupil", "linear") if key in recipe})
    return methods | {
        "identity": identity,
        "gaussian": fit_gaussian(judged(read_scenes(SCENES, "train"))),
        "oracle": oracle,
    }


def judged(scenes: list[Scene]) -> list[Scene]:
    """Return the scenes that have a focal stack to compare with."""
    return [scene for scene in scenes if scene.focus]


def model(path: Path, params: Evaluate) -> Refocuser:
    """Open an ONNX file with `Refocuser`, as everything that serves it does."""
    return Refocuser(path, tile=params.tile, threads=params.threads)


if __name__ == "__main__":
    run(main)
